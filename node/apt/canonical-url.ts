// One spelling for each URL (RFC 3986 section 6.2.2), so that `+` and `%2B` are one object.
import { isIPv4, isIPv6 } from 'node:net';
import { unescapeBytes, unescapeText } from './percent-encoding.ts';

/** Longest request target or URL that is looked at, in characters. */
export const URL_LENGTH_MAX = 8192;

export interface CanonicalUrl {
  /**
   * `http(s)://host[:port]/path[?query]`: scheme and host in lower case, no default port, no `.`
   * segments, no fragment (requests have none: a `#` in one is a character of a file name). In
   * the path every character that may stand there unescaped does, the others are `%XX`.
   */
  readonly url: string;
  /** `host` or `host:port`; an IPv6 address in brackets. */
  readonly host: string;
  /** Value of an Authorization header, when the URL carried user and password. */
  readonly credentials?: string;
}

export interface BadUrl {
  /** One line for a person. */
  readonly reason: string;
}

const defaultPorts: Record<string, string> = { http: '80', https: '443' };

/** Reads an absolute URL; apt's `http://HTTPS///host/path` becomes `https://host/path`. */
export function canonicalUrl(text: string): CanonicalUrl | BadUrl {
  if (text.length > URL_LENGTH_MAX) return { reason: `the URL is longer than ${URL_LENGTH_MAX}` };
  const match = /^([A-Za-z][A-Za-z0-9+.-]*):\/\/([^/?#]*)(.*)$/s.exec(text);
  if (!match) return { reason: 'not an absolute URL' };
  const scheme = match[1]!.toLowerCase();
  if (defaultPorts[scheme] === undefined) {
    return { reason: `the scheme ${scheme} is not http or https` };
  }
  const rest = match[3]!;
  if (scheme === 'http' && match[2]!.toUpperCase() === 'HTTPS' && rest.startsWith('//')) {
    return canonicalParts('https', ...splitAuthority(rest.replace(/^\/+/, '')));
  }
  return canonicalParts(scheme, match[2]!, rest);
}

/** `host/path` apart at the first slash or question mark. */
export function splitAuthority(text: string): [authority: string, rest: string] {
  const end = text.search(/[/?#]/);
  return end === -1 ? [text, ''] : [text.slice(0, end), text.slice(end)];
}

/** As `canonicalUrl`, with scheme, authority and the rest (path and query) already apart. */
export function canonicalParts(
  scheme: string,
  authority: string,
  rest: string,
): CanonicalUrl | BadUrl {
  const at = authority.lastIndexOf('@');
  const host = canonicalHost(authority.slice(at + 1), scheme);
  if (typeof host !== 'string') return host;
  const mark = rest.indexOf('?');
  const path = canonicalPath(mark === -1 ? rest : rest.slice(0, mark));
  if (typeof path !== 'string') return path;
  const query = mark === -1 ? '' : canonicalQuery(rest.slice(mark));
  if (typeof query !== 'string') return query;
  const url = `${scheme}://${host}${path}${query}`;
  if (at <= 0) return { url, host };
  const credentials = basicCredentials(authority.slice(0, at));
  return credentials === undefined
    ? { reason: 'bad percent escape in user or password' }
    : { url, host, credentials };
}

/** `host[:port]` in lower case without the scheme's default port. */
export function canonicalHost(text: string, scheme: string): string | BadUrl {
  const match = /^(\[[^\]]*\]|[^:]*)(?::(\d*))?$/.exec(text);
  if (!match || match[1] === '') return { reason: text === '' ? 'empty host' : 'bad host' };
  const name = match[1]!.toLowerCase().replace(/\.$/, '');
  const valid = name.startsWith('[')
    ? isIPv6(name.slice(1, -1)) && !name.includes('%')
    : isHostName(name);
  if (!valid) return { reason: 'the host has characters that no host name has' };
  const port = match[2] ?? '';
  if (port === '' || port === defaultPorts[scheme]) return name;
  const number = Number(port);
  if (number < 1 || number > 65535) return { reason: 'the port is not between 1 and 65535' };
  const plain = String(number);
  return plain === defaultPorts[scheme] ? name : `${name}:${plain}`;
}

/** Also refuses 2130706433 and 0x7f.1, which some resolvers take for IPv4 addresses. */
function isHostName(name: string): boolean {
  if (name.length > 253) return false;
  if (!/^[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*$/.test(name)) return false;
  const last = name.slice(name.lastIndexOf('.') + 1);
  return !/^(\d+|0x[0-9a-f]*)$/.test(last) || isIPv4(name);
}

// What RFC 3986 lets stand in a path: unreserved, sub-delims, `:` and `@`.
const plainPath = /^[A-Za-z0-9\-._~!$&'()*+,;=:@/]*$/;
const needsEscape = /[^A-Za-z0-9\-._~!$&'()*+,;=:@/]/g;

/**
 * Escapes a path whose characters are bytes (0 to 255), as an index lists it: a `%` in it is a
 * plain character and becomes `%25`.
 */
export function escapePath(path: string): string {
  return plainPath.test(path) ? path : path.replace(needsEscape, escapeChar);
}

function escapeChar(char: string): string {
  return `%${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`;
}

function canonicalPath(path: string): string | BadUrl {
  if (path === '') return '/';
  if (!path.includes('%') && !path.includes('/.') && plainPath.test(path)) return path;
  if (/[^\x21-\x7e\x80-\xff]/.test(path)) return { reason: 'space or control byte in the path' };
  if (/%(?![0-9A-Fa-f]{2})/.test(path)) return { reason: 'bad percent escape in the path' };
  if (/%2f/i.test(path)) return { reason: 'encoded slash in the path' };
  const decoded = unescapeBytes(path);
  if (decoded.includes('\\')) return { reason: 'backslash in the path' };
  if (/[\x00-\x1f\x7f]/.test(decoded)) return { reason: 'NUL or control byte in the path' };
  const segments = decoded.split('/');
  if (segments.includes('..')) return { reason: 'the path has a .. segment' };
  // apt asks for `base/./InRelease` in flat repositories.
  const last = segments.length - 1;
  const kept = segments.flatMap((part, at) => (part !== '.' ? [part] : at === last ? [''] : []));
  return escapePath(kept.join('/'));
}

/** A query keeps its escapes, except those of unreserved characters: `+` may mean a space there. */
function canonicalQuery(query: string): string | BadUrl {
  if (/[^\x21-\x7e\x80-\xff]/.test(query)) return { reason: 'space or control byte in the query' };
  if (/%(?![0-9A-Fa-f]{2})/.test(query)) return { reason: 'bad percent escape in the query' };
  return query
    .replace(/%[0-9A-Fa-f]{2}/g, (coded) => {
      const char = unescapeBytes(coded);
      return /[A-Za-z0-9\-._~]/.test(char) ? char : coded.toUpperCase();
    })
    .replace(/[\x80-\xff"#<>\\^`{|}]/g, escapeChar);
}

function basicCredentials(userinfo: string): string | undefined {
  const [name = '', ...rest] = userinfo.split(':');
  const user = unescapeText(name);
  const password = unescapeText(rest.join(':'));
  if (user === undefined || password === undefined) return undefined;
  return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
}

/**
 * How to ask upstream for a canonical URL: `+` in the path goes as `%2B`, as apt sends it, since
 * some object stores read a plain `+` as a space (LP #1003633).
 */
export function wireUrl(url: string): string {
  const mark = url.indexOf('?');
  if (mark === -1) return url.replaceAll('+', '%2B');
  return url.slice(0, mark).replaceAll('+', '%2B') + url.slice(mark);
}
