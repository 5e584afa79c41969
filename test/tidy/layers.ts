// Who may import whom, as ARCHITECTURE.md tells it; the first line that fits a file holds.

const base = [/^node\/(limits|errors|version|status\/counters)\.ts$/, /^node\/platform\//];
const knowledge = [...base, /^node\/(content|apt)\//];
const trackerParts = /^tracker\/(protocol|client|validate)\.ts$/;
const ports = ['catalog', 'store', 'fleet', 'discovery', 'transfer'];
// Inside a port's folder: the port itself, and helpers; adapters are kept apart by `adapter`.
const anyPort = new RegExp(`^node/(${ports.join('|')})/`);
const wire = /^node\/wire\//;
const own = (folder: string) => new RegExp(`^${folder}/`);

/** A file that ties a port to a technology carries both names: `level-catalog.ts`. */
export const adapter =
  /^node\/(\w+)\/\w[\w-]*-(catalog|store|fleet|discovery|upstream|peers?|swarm)\.ts$/;

export const layers: readonly { of: RegExp; may: readonly RegExp[] }[] = [
  { of: /^node\/(limits|errors|suggest|started|status\/counters)\.ts$/, may: [] },
  { of: /^node\/version\.ts$/, may: [/^package\.json$/] },
  { of: /^node\/platform\//, may: [...base] },
  { of: /^node\/(config(-\w+)?|command-line|serve|start-failure)\.ts$/, may: configuring() },
  {
    of: /^node\/main\.ts$/,
    may: [...configuring(), /^node\/(node|fleet\/fleet-key)\.ts$/, own('tracker')],
  },
  { of: /^node\/node\.ts$/, may: [own('node'), own('tracker')] },
  { of: /^node\/apt-sources\.ts$/, may: knowledge },
  { of: /^node\/content\//, may: [...base, own('node/content')] },
  { of: /^node\/apt\//, may: knowledge },
  { of: wire, may: [...base, wire, own('node/content')] },
  { of: /^tracker\//, may: [...base, own('tracker'), wire] },
  { of: anyPort, may: [...knowledge, wire, anyPort, trackerParts] },
  {
    of: /^node\/status\//,
    may: [
      ...[...base, own('node/status'), anyPort, own('node/delivery'), /^node\/config\.ts$/],
      ...[own('node/content'), own('node/wire')],
    ],
  },
  {
    of: /^node\/delivery\//,
    may: [
      ...[...knowledge, wire, anyPort, own('node/delivery')],
      // Types that both sides of a wire share, and what status shows of a flight.
      ...[/^tracker\/protocol\.ts$/, /^node\/status\/report\.ts$/],
    ],
  },
  {
    of: /^node\/doors\//,
    may: [
      ...[...knowledge, wire, anyPort, trackerParts],
      ...[own('node/delivery'), own('node/status'), own('node/doors')],
    ],
  },
];

function configuring(): RegExp[] {
  return [...base, /^node\/(config(-\w+)?|suggest|serve|start-failure|command-line)\.ts$/];
}
