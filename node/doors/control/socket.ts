import { join } from 'node:path';

/** The Unix socket in the folder `runtime`; daemon and command line agree on it. */
export function controlSocket(runtime: string): string {
  return join(runtime, 'control.sock');
}
