// Small objects in a large fleet: one member asks for what another one fetched before.
import type { Daemon } from '../fixtures/daemon.ts';
import { type Fetched, fetchVia } from './bench-fleet.ts';
import { type Figure, median, quantile, timesOf } from './figures.ts';
import { type LinkAlone, linkAlone } from './link-alone.ts';
import type { LargeFleet } from './shared-fleet.ts';

const SIZES = [
  { label: '60 KB', bytes: 60_000, count: 300 },
  { label: '400 KB', bytes: 400_000, count: 150 },
];
const WARM_UP_BYTES = 60_000;

/** What the table says at most, beyond the link's own time. */
const TARGETS = [
  { label: 'p50', share: 0.5, max: 5 },
  { label: 'p99', share: 0.99, max: 30 },
];

export async function smallObjects(large: LargeFleet): Promise<Figure[]> {
  const link = await linkAlone();
  try {
    const members = new Members(large);
    await members.warmUp();
    const figures: Figure[] = [];
    for (const size of SIZES) figures.push(...(await figuresOf(members, link, size)));
    return figures;
  } finally {
    await link.close();
  }
}

async function figuresOf(
  members: Members,
  link: LinkAlone,
  { label, bytes, count }: (typeof SIZES)[number],
): Promise<Figure[]> {
  const times: Fetched[] = [];
  const alone: number[] = [];
  for (let n = 0; n < count; n++) {
    alone.push(await link.fetch(bytes));
    const fetched = await members.passOn(bytes);
    if (fetched) times.push(fetched);
  }
  const what = `${label}, one of ${members.count}`;
  const note = `${times.length} objects; ${count - times.length} more were there already`;
  const linkMs = median(alone);
  const whole = times.map(({ wholeMs }) => wholeMs);
  const row = (text: string, value: number) => ({ bench: 'peer', what: text, value, unit: 'ms' });
  return [
    ...timesOf(what, times, note),
    row(`${label} over the link alone: p50`, linkMs),
    ...TARGETS.map(({ label: which, share, max }) => ({
      ...row(`${what}: beyond the link alone ${which}`, quantile(whole, share) - linkMs),
      target: { max },
    })),
  ];
}

/** Members that pass objects on to each other. */
class Members {
  readonly #daemons: readonly Daemon[];
  readonly #upstream: LargeFleet['upstream'];
  readonly #received = new Map<Daemon, number>();

  constructor({ fleet, upstream }: LargeFleet) {
    this.#daemons = fleet.daemons;
    this.#upstream = upstream;
  }

  get count(): number {
    return this.#daemons.length;
  }

  /** Each a few times: code that was never run is not what is measured. */
  async warmUp(): Promise<void> {
    for (let n = 0; n < 3 * this.count; n++) {
      const holder = this.#daemons[n % this.count]!;
      await this.#move(holder, other(this.#daemons, n % this.count), WARM_UP_BYTES);
    }
    for (const daemon of this.#daemons) await this.#look(daemon);
  }

  /** A new object from one to another; `undefined` when the other had it already. */
  async passOn(bytes: number): Promise<Fetched | undefined> {
    const at = Math.floor(Math.random() * this.count);
    const [holder, taker] = [this.#daemons[at]!, other(this.#daemons, at)];
    const fetched = await this.#move(holder, taker, bytes);
    // Asked after each GET, not before it, so that the measured one meets a daemon at rest.
    await this.#look(holder);
    // The owner of the object got it when the holder did.
    return (await this.#look(taker)) >= bytes ? fetched : undefined;
  }

  async #move(holder: Daemon, taker: Daemon, bytes: number): Promise<Fetched> {
    const { url } = this.#upstream.add(bytes);
    await fetchVia(holder, url, bytes);
    return await fetchVia(taker, url, bytes);
  }

  /** What it got from other members since the last look. */
  async #look(daemon: Daemon): Promise<number> {
    const before = this.#received.get(daemon) ?? 0;
    const now = (await daemon.status()).counters['received.bytes.peer'];
    this.#received.set(daemon, now);
    return now - before;
  }
}

function other(daemons: readonly Daemon[], not: number): Daemon {
  const at = Math.floor(Math.random() * (daemons.length - 1));
  return daemons[at < not ? at : at + 1]!;
}
