// What it costs to tell how a GET was answered (node/metrics/ways.ts): the records alone, in this
// process, with the system's clock.
import { type Step, Ways } from '../../node/metrics/ways.ts';
import { systemClock } from '../../node/platform/clock.ts';
import { systemRandom } from '../../node/platform/random.ts';
import { type Figure, median } from './figures.ts';

const GETS = 50_000;
const ROUNDS = 7;

const digest = 'd'.repeat(64);
const size = 60_000;

const name: Step = { what: 'name', as: 'fixed', digest, size };
const verdict: Step = { what: 'verdict', status: 200, bytes: size };
const atHand: readonly Step[] = [name, { what: 'stored', digest: 'a', size: 1 }, verdict];
const fetched: readonly Step[] = [
  name,
  { what: 'owner', member: 'host1', rank: 0 },
  { what: 'asked', member: 'host1', said: 'connect ECONNREFUSED', tookMs: 3 },
  { what: 'dht', tookMs: 18 },
  { what: 'upstream', host: 'archive.ubuntu.com', status: 200, tookMs: 40 },
  { what: 'source', from: 'upstream', kind: 'upstream', bytes: size, tookMs: 60, end: 'whole' },
  verdict,
];

export function toldWays(): Figure[] {
  return [
    figureOf('from the store, 3 steps', atHand),
    figureOf('fetched as the owner, 7 steps', fetched),
  ];
}

function figureOf(what: string, steps: readonly Step[]): Figure {
  const ways = new Ways({ clock: systemClock, random: systemRandom });
  const rounds = Array.from({ length: ROUNDS }, () => roundUs(ways, steps));
  // The first one is compiled while it runs, and fills the ring.
  const value = median(rounds.slice(1));
  const note = `median of ${ROUNDS - 1} times ${GETS}`;
  return { bench: 'ways', what: `GET ${what}`, value, unit: 'µs', target: { max: 20 }, note };
}

/** For one GET, with the garbage it leaves. */
function roundUs(ways: Ways, steps: readonly Step[]): number {
  const sinceMs = performance.now();
  for (let n = 0; n < GETS; n++) {
    const trace = ways.begin(
      'apt',
      `http://archive.ubuntu.com/ubuntu/pool/main/p/p${n}_1_amd64.deb`,
    );
    for (const step of steps) trace.note(step);
  }
  return ((performance.now() - sinceMs) * 1_000) / GETS;
}
