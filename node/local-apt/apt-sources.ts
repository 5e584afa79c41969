// The archives in this machine's own apt sources, read again when the files change.
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type ArchiveSource, hostsOf, parseSources } from '../apt/sources.ts';
import { reasonOf } from '../errors.ts';
import type { Clock } from '../platform/clock.ts';
import type { Log } from '../platform/log.ts';

/** The folder is looked at no more often than this. */
const LOOK_EVERY_MS = 30_000;

export class AptSources {
  readonly #deps: { readonly clock: Clock; readonly log: Log };
  readonly #folder: string;
  #sources: readonly ArchiveSource[] = [];
  #hosts: ReadonlySet<string> = new Set();
  /** Called when other hosts are in the sources than before. */
  onChange = (): void => {};
  #seen = '';
  #lookedMs = Number.NEGATIVE_INFINITY;

  private constructor(deps: { clock: Clock; log: Log }, folder: string) {
    this.#deps = deps;
    this.#folder = folder;
  }

  /** `folder`: apt's configuration folder, `/etc/apt`; what cannot be read counts as empty. */
  static async open(deps: { clock: Clock; log: Log }, folder: string): Promise<AptSources> {
    const sources = new AptSources(deps, folder);
    await sources.#look();
    return sources;
  }

  /** `host` or `host:port`, each once. */
  hosts(): ReadonlySet<string> {
    if (this.#deps.clock.monotonicMs() - this.#lookedMs > LOOK_EVERY_MS) void this.#look();
    return this.#hosts;
  }

  /** Base URLs, each ending with a slash. */
  bases(): Iterable<string> {
    return new Set(this.#sources.map(({ uri }) => uri));
  }

  async #look(): Promise<void> {
    this.#lookedMs = this.#deps.clock.monotonicMs();
    try {
      const files = await this.#files();
      const stats = await Promise.all(files.map((file) => stat(file)));
      const seen = files.map((file, at) => `${file} ${stats[at]?.mtimeMs}`).join('\n');
      if (seen === this.#seen) return;
      this.#seen = seen;
      const texts = await Promise.all(files.map((file) => readFile(file, 'utf8')));
      this.#sources = files.flatMap((file, at) => parseSources(file, texts[at] ?? ''));
      const before = [...this.#hosts].sort().join();
      this.#hosts = hostsOf(this.#sources);
      if ([...this.#hosts].sort().join() !== before) this.onChange();
    } catch (error) {
      this.#deps.log.warn(
        { folder: this.#folder, reason: reasonOf(error) },
        'apt sources not read',
      );
    }
  }

  async #files(): Promise<string[]> {
    const parts = join(this.#folder, 'sources.list.d');
    const names = await readdir(parts).catch(() => []);
    const files = names.filter((name) => /\.(list|sources)$/.test(name)).sort();
    const main = join(this.#folder, 'sources.list');
    const all = [main, ...files.map((name) => join(parts, name))];
    const there = await Promise.all(all.map((file) => stat(file).then(Boolean, () => false)));
    return all.filter((_, at) => there[at]);
  }
}
