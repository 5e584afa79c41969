// Sockets that a service manager opened and handed over, all of them for apt: sd_listen_fds(3).

export interface InheritedSocket {
  readonly fd: number;
  /** FileDescriptorName= of the socket unit; by default the unit's name. */
  readonly name: string;
}

const firstFd = 3;

/**
 * The listening sockets meant for the process `pid`, for `server.listen({ fd })`. Removes the
 * variables from `env`, so that children do not take the sockets for theirs.
 */
export function takeInheritedSockets(env: NodeJS.ProcessEnv, pid: number): InheritedSocket[] {
  const { LISTEN_FDS, LISTEN_PID, LISTEN_FDNAMES } = env;
  for (const name of ['LISTEN_FDS', 'LISTEN_PID', 'LISTEN_FDNAMES']) delete env[name];
  const count = Number(LISTEN_FDS);
  if (LISTEN_PID !== String(pid) || !Number.isInteger(count) || count < 1) return [];
  const names = LISTEN_FDNAMES?.split(':') ?? [];
  return Array.from({ length: count }, (_, index) => ({
    fd: firstFd + index,
    name: names[index] || 'unknown',
  }));
}
