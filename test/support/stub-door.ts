// An apt door over objects in memory, as a process of its own: prints its port, ends with stdin.
// With a number as argument it listens on that inherited descriptor.
import { randomBytes } from 'node:crypto';
import { AptDoor } from '../../node/doors/apt/apt-door.ts';
import { Counters } from '../../node/metrics/counters.ts';
import { systemClock } from '../../node/platform/clock.ts';
import { silentLog } from '../../node/platform/log.ts';
import { waysFixture } from '../fixtures/ways.ts';
import { FakeDelivery, type FakeObject } from './fake-delivery.ts';

const MiB = 1024 * 1024;

/** `/<bytes>` is an object of so many bytes, `/endless/<bytes>` one made as it is read. */
function find(path: string): FakeObject | undefined {
  const [, bytes, madeBytes] = /^\/(?:(\d+)|endless\/(\d+))$/.exec(path) ?? [];
  if (bytes !== undefined) return small(Number(bytes));
  return madeBytes === undefined ? undefined : made(Number(madeBytes));
}

const known = new Map<number, FakeObject>();

function small(size: number): FakeObject {
  const object = known.get(size);
  if (object) return object;
  const bytes = randomBytes(size);
  const digest = '0'.repeat(64);
  const modified = 'Sat, 01 Aug 2026 10:00:00 GMT';
  const fresh = { bytes, digest, lastModified: modified, read: () => once(bytes) };
  known.set(size, fresh);
  return fresh;
}

async function* once(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes;
}

function made(size: number): FakeObject {
  async function* read(start: number, end = size): AsyncGenerator<Buffer> {
    for (let at = start; at < end; at += MiB / 8)
      yield Buffer.alloc(Math.min(MiB / 8, end - at), 1);
  }
  return { size, digest: '0'.repeat(64), read };
}

const door = new AptDoor(
  {
    delivery: new FakeDelivery(find, { remember: false }),
    counters: new Counters(),
    ways: waysFixture(),
    clock: systemClock,
    log: silentLog,
    pages: { handle: (_req, res) => void res.end(JSON.stringify(process.memoryUsage())) },
    tunnels: { open: (_host, _port, client) => void client.destroy() },
  },
  {
    listen: [{ host: '127.0.0.1', port: 0 }],
    fds: process.argv.slice(2).map(Number),
  },
);
await door.listen();
process.stdout.write(`${door.addresses()[0]!.port}\n`);
process.stdin.on('end', () => process.exit(0)).resume();
