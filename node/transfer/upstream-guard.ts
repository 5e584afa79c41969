// Policy: which URLs this machine may be made to fetch, by its own apt or by a peer.
import { BlockList, isIP } from 'node:net';

/** Each question is answered with the reason why not, or undefined. */
export interface UpstreamGuard {
  /** By scheme, port and host alone, before a name is resolved. */
  url(url: URL): string | undefined;
  /** By the address that will be connected to; ask it for each resolved address of `url`. */
  address(url: URL, address: string): string | undefined;
}

export interface UpstreamGuardDeps {
  /** Hosts of this machine's own apt sources: `host` (ports 80 and 443) or `host:port`. */
  archives(): Iterable<string>;
}

export interface UpstreamGuardOptions {
  /** More such hosts from the configuration; `*.domain` stands for every host below it. */
  readonly allow: readonly string[];
}

/** Whom nobody may be sent to unless listed: RFC 6890 special-purpose and multicast ranges. */
const special = specialAddresses();
const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addAddress('::1', 'ipv6');

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

/** True for loopback, private, link-local, ULA, shared, documentation and multicast addresses. */
export function isSpecialAddress(address: string): boolean {
  const family = isIP(address);
  if (family === 0) return true;
  return special.check(address, family === 4 ? 'ipv4' : 'ipv6');
}

/** True for 127.0.0.0/8 and ::1, also as an IPv4-mapped address. */
export function isLoopback(address: string): boolean {
  const family = isIP(address);
  return family !== 0 && loopback.check(address, family === 4 ? 'ipv4' : 'ipv6');
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
    if (rightPort && matchesHost(match[1], host)) return true;
  }
  return false;
}

function matchesHost(pattern: string, host: string): boolean {
  return pattern.startsWith('*.') ? host.endsWith(pattern.slice(1)) : host === pattern;
}

function specialAddresses(): BlockList {
  const list = new BlockList();
  const ranges =
    '0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 ' +
    '192.0.2.0/24 192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 ' +
    '224.0.0.0/4 240.0.0.0/4';
  for (const range of ranges.split(' ')) {
    const [net = '', bits = ''] = range.split('/');
    list.addSubnet(net, Number(bits), 'ipv4');
    // The same range as a translated IPv6 address: NAT64 (RFC 6052) and 6to4 (RFC 3056).
    const [a = 0, b = 0, c = 0, d = 0] = net.split('.').map(Number);
    const high = ((a << 8) | b).toString(16);
    const low = ((c << 8) | d).toString(16);
    list.addSubnet(`64:ff9b::${high}:${low}`, 96 + Number(bits), 'ipv6');
    list.addSubnet(`2002:${high}:${low}::`, 16 + Number(bits), 'ipv6');
  }
  // BlockList matches IPv4-mapped addresses (::ffff:0:0/96) with the IPv4 rules by itself.
  const ranges6 =
    '::/127 ::/96 100::/64 2001::/32 2001:db8::/32 fc00::/7 fe80::/10 fec0::/10 ff00::/8';
  for (const range of ranges6.split(' ')) {
    const [net = '', bits = ''] = range.split('/');
    list.addSubnet(net, Number(bits), 'ipv6');
  }
  return list;
}
