// Who may import whom, as ARCHITECTURE.md tells it: the rooms of the house from the top down. A
// file may import files of its own room and of rooms further down, never of one further up.

interface Room {
  readonly name: string;
  readonly of: RegExp;
  /** Where it may not import all rooms below: these alone, besides its own. */
  readonly sees?: readonly string[];
}

const folder = (name: string): Room => ({ name, of: new RegExp(`^node/${name}/`) });

export const rooms: readonly Room[] = [
  folder('cli'),
  { name: 'node', of: /^node\/node\.ts$/ },
  folder('config'),
  folder('doors'),
  { name: 'core', of: /^node\/core\.ts$/ },
  folder('delivery'),
  folder('serving'),
  folder('local-apt'),
  folder('names'),
  folder('fetch'),
  folder('links'),
  folder('swarm'),
  folder('flight'),
  // The ports, each with its adapters.
  folder('transfer'),
  folder('discovery'),
  folder('fleet'),
  folder('catalog'),
  folder('store'),
  { name: 'tracker', of: /^tracker\//, sees: ['wire', 'content', 'platform', 'base'] },
  folder('wire'),
  folder('apt'),
  folder('content'),
  folder('metrics'),
  folder('platform'),
  { name: 'base', of: /^(node\/(errors|limits|version)\.ts|package\.json)$/ },
];

/** Of the tracker a node takes these; its server only where a node hosts one. */
export const trackerServer = /^tracker\/(server|member-table|followers)\.ts$/;

/** A file that ties a port to a technology carries both names: `level-catalog.ts`. */
export const adapter =
  /^node\/(\w[\w-]*\/)+\w[\w-]*-(catalog|store|fleet|discovery|upstream|peers?|swarm)\.ts$/;
