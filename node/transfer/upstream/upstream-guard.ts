// Policy: which URLs this machine may be made to fetch, by its own apt or by a peer.
import { isIP } from 'node:net';
import { isSpecialAddress } from '../../wire/addresses.ts';

/** Each question is answered with the reason why not, or undefined. */
export interface UpstreamGuard {
  /** By scheme, port and host alone, before a name is resolved. */
  url(url: URL): string | undefined;
  /** By the address that will be connected to; ask it for each resolved address of `url`. */
  address(url: URL, address: string): string | undefined;
}

interface UpstreamGuardDeps {
  /** Hosts of this machine's own apt sources: `host` (ports 80 and 443) or `host:port`. */
  archives(): Iterable<string>;
}

interface UpstreamGuardOptions {
  /** More such hosts, from the configuration. */
  readonly allow: readonly string[];
}

export function createUpstreamGuard(
  deps: UpstreamGuardDeps,
  options: UpstreamGuardOptions,
): UpstreamGuard {
  const listed = (url: URL) => isListed(url, deps.archives()) || isListed(url, options.allow);
  return {
    url(url) {
      if (url.protocol !== 'http:' && url.protocol !== 'https:') {
        return `${url.protocol}// is not fetched, only http and https`;
      }
      if (listed(url)) return undefined;
      const port = portOf(url);
      if (port < 1024 && port !== 80 && port !== 443) return `port ${port} is not for archives`;
      const host = bareHost(url);
      if (host === 'localhost' || host.endsWith('.localhost')) return whyNot(host, host);
      return isIP(host) && isSpecialAddress(host) ? whyNot(host, host) : undefined;
    },
    address(url, address) {
      if (!isSpecialAddress(address) || listed(url)) return undefined;
      return whyNot(bareHost(url), address);
    },
  };
}

function whyNot(host: string, address: string): string {
  const what = host === address ? host : `${host} (${address})`;
  return `${what} is not a public address and not in this machine's apt sources`;
}

function bareHost(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, '').replace(/\.$/, '');
}

function portOf(url: URL): number {
  if (url.port !== '') return Number(url.port);
  return url.protocol === 'https:' ? 443 : 80;
}

function isListed(url: URL, entries: Iterable<string>): boolean {
  const host = url.hostname.replace(/\.$/, '');
  const port = portOf(url);
  for (const entry of entries) {
    const match = /^(\[[^\]]+\]|[^:]+)(?::(\d+))?$/.exec(entry.toLowerCase());
    if (!match?.[1]) continue;
    const rightPort =
      match[2] === undefined ? port === 80 || port === 443 : Number(match[2]) === port;
    if (rightPort && match[1] === host) return true;
  }
  return false;
}
