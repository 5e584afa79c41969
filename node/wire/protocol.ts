// Which version of the protocol two machines speak with each other. Each speaks its own and the one
// before it, so that a fleet can be upgraded machine by machine, its trackers first or last.

/** What a machine of version `own` speaks, newest first. */
export function protocolsOf(own: number): number[] {
  return own > 1 ? [own, own - 1] : [own];
}

/** The newest version that machines of versions `a` and `b` both speak, if there is one. */
export function sharedProtocol(a: number, b: number): number | undefined {
  return protocolsOf(a).find((version) => protocolsOf(b).includes(version));
}
