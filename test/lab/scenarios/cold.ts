// Everyone updates and installs at one moment, and nobody has anything; and the same in a day's
// order, one machine after the other.
import type { Scenario } from '../run.ts';

export const cold: Scenario = { name: 'cold', archive: 'package', work: 'update+install' };

/** The starts are spread evenly over twice the time that the links need. */
export const rolling: Scenario = {
  name: 'rolling',
  archive: 'package',
  work: 'update+install',
  delayMs: (node, run) => ((node.index - 1) / run.nodes.length) * 2 * run.limitMs,
};

/** A main index of 60,000 entries and 20 small archives, all new to everyone. */
export const update: Scenario = { name: 'update', archive: 'indexes', work: 'update' };
