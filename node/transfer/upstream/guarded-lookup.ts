// Name resolution for connections: only addresses that the policy lets through come out, so the
// address that was checked is the one that is connected to (no DNS rebinding).
import { type LookupAddress, type LookupAllOptions, lookup as systemLookup } from 'node:dns';
import type { LookupFunction } from 'node:net';

export type ResolveAll = (
  hostname: string,
  options: LookupAllOptions,
  callback: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
) => void;

/** What a connection fails with when every address of a name is refused. */
class ForbiddenAddressError extends Error {
  readonly code = 'EFORBIDDEN';
}

/**
 * A `lookup` for net.connect and tls.connect. `check` gives the reason why an address is refused;
 * a name of which some addresses pass is connected to at those.
 */
export function guardedLookup(
  check: (address: string) => string | undefined,
  resolve: ResolveAll = systemLookup,
): LookupFunction {
  return (hostname, options, callback) => {
    resolve(hostname, { ...options, all: true }, (error, addresses) => {
      if (error) {
        callback(error, []);
        return;
      }
      const allowed = addresses.filter((entry) => check(entry.address) === undefined);
      const first = allowed[0];
      if (first === undefined) {
        const reason = check(addresses[0]?.address ?? '') ?? `${hostname} has no address`;
        callback(new ForbiddenAddressError(reason), []);
        return;
      }
      if (options.all) callback(null, allowed);
      else callback(null, first.address, first.family);
    });
  };
}
