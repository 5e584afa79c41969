// The certificate authorities that this machine trusts, as apt and curl do.
import { createSecureContext, getCACertificates, type SecureContext } from 'node:tls';

/**
 * Node brings a list of its own and leaves out what an administrator added to /etc/ssl/certs; it
 * counts here only where the machine has none (no ca-certificates). Reading takes 0.2 s.
 */
export function systemTrust(): SecureContext {
  const system = getCACertificates('system');
  return createSecureContext({
    ca: [...new Set(system.length > 0 ? system : getCACertificates('bundled'))],
  });
}
