// Listening on all addresses of the machine, as `0.0.0.0` and `::` say it.

export function isEverywhere(host: string): boolean {
  return host === '0.0.0.0' || host === '::';
}

/** Where this machine connects to what listens on `host`. */
export function reachableHost(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1';
  // Not 127.0.0.1: with net.ipv6.bindv6only (ipv6(7)) that one would not be answered.
  return host === '::' ? '::1' : host;
}
