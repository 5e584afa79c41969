// The archives that apt is told to use: sources.list(5), in both of its formats.
import { canonicalUrl } from './canonical-url.ts';

export interface ArchiveSource {
  /** Canonical URL of the archive's base, ending with a slash. */
  readonly uri: string;
  /** `host` or `host:port`. */
  readonly host: string;
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
  const match = /^\s*(?:deb|deb-src)\s+(?:\[[^\]]*\]\s*)?(\S+)\s+([^#]*)/.exec(line);
  if (!match) return [];
  const [, uri = '', suites = ''] = match;
  return words(suites).length > 0 ? sourceOf(uri) : [];
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
    const isArchive = list('types').some((type) => type === 'deb' || type === 'deb-src');
    return isArchive && list('suites').length > 0 ? list('uris').flatMap(sourceOf) : [];
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

function sourceOf(uri: string): ArchiveSource[] {
  const canonical = canonicalUrl(uri);
  if ('reason' in canonical) return [];
  const { url, host } = canonical;
  return [{ uri: url.endsWith('/') ? url : `${url}/`, host }];
}

function words(text: string): string[] {
  return text.split(/\s+/).filter((word) => word !== '');
}

/** The upstream hosts (`host` or `host:port`) of some sources. */
export function hostsOf(sources: Iterable<ArchiveSource>): Set<string> {
  return new Set(Array.from(sources, (source) => source.host));
}
