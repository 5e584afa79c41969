// What a client of the apt door asks for, out of the request line (RFC 9112 section 3.2).
import {
  type BadUrl,
  type CanonicalUrl,
  canonicalHost,
  canonicalParts,
  canonicalUrl,
  splitAuthority,
  URL_LENGTH_MAX,
} from './canonical-url.ts';

export type RequestTarget =
  /** An object of an archive; `url`, `host` and `credentials` as in canonical-url.ts. */
  | ({ readonly kind: 'url' } & CanonicalUrl)
  /** A page of this node; `path` as it came, with its query. */
  | { readonly kind: 'local'; readonly path: string }
  | { readonly kind: 'connect'; readonly host: string; readonly port: number }
  | { readonly kind: 'bad'; readonly reason: string };

/**
 * Reads a request target in each form that apt and its users send:
 *
 * - `http://host/path`, `https://host/path` and `http://HTTPS///host/path` (absolute form);
 * - `host:443` (authority form, with the method CONNECT);
 * - `/HTTPS///host/path` and `/host/path` (origin form, this node written in front of the URL in
 *   sources.list). The first segment is a host when something follows it and it has a dot, a
 *   colon or is `localhost`; thus `/`, `/status.json` and `/events/x` are pages of this node and
 *   `/archive.ubuntu.com/ubuntu/` is not.
 *
 * Whether the Host header names this node is for the door to check.
 */
export function parseRequestTarget(method: string, target: string): RequestTarget {
  if (target.length > URL_LENGTH_MAX) {
    return { kind: 'bad', reason: `the request target is longer than ${URL_LENGTH_MAX}` };
  }
  if (method === 'CONNECT') return connectTarget(target);
  if (!target.startsWith('/')) return urlTarget(canonicalUrl(target));
  const tls = /^\/HTTPS\/\/+/i.exec(target);
  if (tls)
    return urlTarget(canonicalParts('https', ...splitAuthority(target.slice(tls[0].length))));
  const first = /^\/([^/?#]+)\//.exec(target)?.[1];
  if (first === undefined || !(/[.:]/.test(first) || first.toLowerCase() === 'localhost')) {
    return localTarget(target);
  }
  return urlTarget(canonicalParts('http', ...splitAuthority(target.slice(1))));
}

function urlTarget(result: CanonicalUrl | BadUrl): RequestTarget {
  return 'reason' in result ? { kind: 'bad', ...result } : { kind: 'url', ...result };
}

function localTarget(target: string): RequestTarget {
  if (/[^\x21-\x7e]/.test(target)) return { kind: 'bad', reason: 'control byte in the path' };
  const [path] = target.split('#', 1) as [string];
  return { kind: 'local', path };
}

function connectTarget(target: string): RequestTarget {
  const match = /^(.+):(\d{1,5})$/.exec(target);
  const port = Number(match?.[2]);
  if (!match || port < 1 || port > 65535) {
    return { kind: 'bad', reason: 'CONNECT needs host:port' };
  }
  const host = canonicalHost(match[1]!, '');
  if (typeof host !== 'string') return { kind: 'bad', ...host };
  return { kind: 'connect', host: host.replace(/^\[|\]$/g, ''), port };
}
