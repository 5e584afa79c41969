// Kinds of IP addresses.
import { BlockList, isIP } from 'node:net';

/** Whom nobody may be sent to unless listed: RFC 6890 special-purpose and multicast ranges. */
const special = specialAddresses();
const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addAddress('::1', 'ipv6');

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
