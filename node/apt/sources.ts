// The archives that apt is told to use: sources.list(5), in both of its formats.
import { canonicalUrl } from './canonical-url.ts';

export interface ArchiveSource {
  /** Of `deb` and `deb-src`. */
  readonly types: readonly string[];
  /** Canonical URL of the archive's base, ending with a slash. */
  readonly uri: string;
  /** `host` or `host:port`. */
  readonly host: string;
  /** One that ends with a slash names a folder of a flat repository. */
  readonly suites: readonly string[];
  readonly components: readonly string[];
  /** `arch=` or `Architectures:`, where given. */
  readonly architectures?: readonly string[];
}

/**
 * Reads one sources file; `name` ends with `.sources` for the deb822 format, anything else is
 * the one-line format. Entries that are disabled, broken or not of the http(s) methods (file,
 * cdrom, mirror+…, …) are left out. Never throws.
 */
export function parseSources(name: string, text: string): ArchiveSource[] {
  return name.endsWith('.sources') ? parseDeb822(text) : text.split(/\r?\n/).flatMap(parseLine);
}

function parseLine(line: string): ArchiveSource[] {
  const match = /^\s*(deb|deb-src)\s+(?:\[([^\]]*)\]\s*)?(\S+)\s+([^#]*)/.exec(line);
  if (!match) return [];
  const [suite, ...components] = words(match[4]!);
  if (suite === undefined) return [];
  const arch = /(?:^|\s)arch=(\S+)/.exec(match[2] ?? '')?.[1];
  const architectures = arch === undefined ? undefined : arch.split(',');
  return sourceOf({ types: [match[1]!], suites: [suite], components, architectures }, match[3]!);
}

function parseDeb822(text: string): ArchiveSource[] {
  const stanzas = text
    .replace(/\r\n/g, '\n')
    .replace(/^#.*\n?/gm, '')
    .split(/\n(?:[ \t]*\n)+/);
  return stanzas.flatMap((stanza) => {
    const fields = fieldsOf(stanza);
    const list = (field: string) => words(fields.get(field) ?? '');
    if (/^(no|false|without|off|disable|0)$/i.test(fields.get('enabled')?.trim() ?? '')) return [];
    const types = list('types').filter((type) => type === 'deb' || type === 'deb-src');
    const suites = list('suites');
    if (types.length === 0 || suites.length === 0) return [];
    const architectures = fields.has('architectures') ? list('architectures') : undefined;
    const common = { types, suites, components: list('components'), architectures };
    return list('uris').flatMap((uri) => sourceOf(common, uri));
  });
}

function fieldsOf(stanza: string): Map<string, string> {
  const fields = new Map<string, string>();
  let name: string | undefined;
  for (const line of stanza.split('\n')) {
    const match = /^([^\s:]+):(.*)$/.exec(line);
    if (match) {
      name = match[1]!.toLowerCase();
      fields.set(name, match[2]!);
    } else if (name !== undefined && /^\s/.test(line)) {
      fields.set(name, `${fields.get(name)} ${line}`);
    }
  }
  return fields;
}

interface Common {
  types: string[];
  suites: string[];
  components: string[];
  architectures: string[] | undefined;
}

function sourceOf({ architectures, ...common }: Common, uri: string): ArchiveSource[] {
  const canonical = canonicalUrl(uri);
  if ('reason' in canonical) return [];
  const { url, host } = canonical;
  return [
    {
      ...common,
      uri: url.endsWith('/') ? url : `${url}/`,
      host,
      ...(architectures === undefined ? {} : { architectures }),
    },
  ];
}

function words(text: string): string[] {
  return text.split(/\s+/).filter((word) => word !== '');
}

/** The upstream hosts (`host` or `host:port`) of some sources. */
export function hostsOf(sources: Iterable<ArchiveSource>): Set<string> {
  return new Set(Array.from(sources, (source) => source.host));
}

/** Where the Release file of each suite lies, each URL ending with a slash. */
export function releaseFoldersOf(source: ArchiveSource): string[] {
  return source.suites.map((suite) => {
    if (!suite.endsWith('/')) return `${source.uri}dists/${suite}/`;
    const flat = canonicalUrl(source.uri + suite);
    return 'reason' in flat ? source.uri : flat.url.replace(/\/*$/, '/');
  });
}
