// The member list on disk, so that a node finds its fleet again when no tracker answers.
import { readFile, rename, writeFile } from 'node:fs/promises';
import type { Member } from '../../tracker/protocol.ts';
import { parseMember } from '../../tracker/validate.ts';
import { reasonOf } from '../errors.ts';
import type { Clock, Timer } from '../platform/clock.ts';
import type { Log } from '../platform/log.ts';

// A joining fleet changes the list many times within seconds.
const WRITE_AFTER_MS = 2000;

interface LastListDeps {
  readonly clock: Clock;
  readonly log: Log;
}

export class LastList {
  readonly #deps: LastListDeps;
  readonly #path: string;
  #pending: (() => readonly Member[]) | undefined;
  #timer: Timer | undefined;
  #writing: Promise<void> = Promise.resolve();

  constructor(deps: LastListDeps, options: { path: string }) {
    this.#deps = deps;
    this.#path = options.path;
  }

  /** The members of the last run; none when there is no file, or no valid one. */
  async load(): Promise<Member[]> {
    try {
      const list: unknown = JSON.parse(await readFile(this.#path, 'utf8'));
      if (!Array.isArray(list)) return [];
      return list.map(parseMember).filter((member) => member !== undefined);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') this.#warn('read', error);
      return [];
    }
  }

  /** Writes what `members` gives then, soon. */
  save(members: () => readonly Member[]): void {
    this.#pending = members;
    this.#timer ??= this.#deps.clock.after(WRITE_AFTER_MS, () => void this.flush());
  }

  /** Writes what is waiting to be written. Never throws. */
  flush(): Promise<void> {
    this.#timer?.cancel();
    this.#timer = undefined;
    const members = this.#pending?.();
    this.#pending = undefined;
    if (members !== undefined) this.#writing = this.#writing.then(() => this.#write(members));
    return this.#writing;
  }

  async #write(members: readonly Member[]): Promise<void> {
    try {
      await writeFile(`${this.#path}.new`, JSON.stringify(members));
      await rename(`${this.#path}.new`, this.#path);
    } catch (error) {
      this.#warn('written', error);
    }
  }

  #warn(verb: string, error: unknown): void {
    const fields = { path: this.#path, reason: reasonOf(error) };
    this.#deps.log.warn(fields, `last member list cannot be ${verb}`);
  }
}
