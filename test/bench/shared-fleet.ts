// One large fleet for all benchmarks that need one, started when the first of them asks.
import { type BenchFleet, benchFleet } from './bench-fleet.ts';
import { ObjectServer } from './object-server.ts';

export interface LargeFleet {
  readonly fleet: BenchFleet;
  readonly upstream: ObjectServer;
}

export class SharedFleet {
  readonly #nodes: number;
  #started: Promise<LargeFleet> | undefined;

  constructor(nodes: number) {
    this.#nodes = nodes;
  }

  get(): Promise<LargeFleet> {
    this.#started ??= start(this.#nodes);
    return this.#started;
  }

  /** Ends it, if it was started at all. */
  async close(): Promise<void> {
    const started = await this.#started?.catch(() => undefined);
    this.#started = undefined;
    await started?.fleet.close();
    await started?.upstream.close();
  }
}

async function start(nodes: number): Promise<LargeFleet> {
  const upstream = await ObjectServer.start();
  try {
    return { upstream, fleet: await benchFleet({ nodes, allowHost: upstream.host }) };
  } catch (error) {
    await upstream.close();
    throw error;
  }
}
