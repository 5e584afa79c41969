// What /ways.json of real daemons tells of a GET, where it was asked and at the owner, and what it
// never tells.
import { get } from 'node:http';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type { WayReport } from '../../node/metrics/ways.ts';
import { fetchText } from '../fixtures/daemon.ts';
import { type FleetFixture, type FleetHost, fleetFixture } from '../fixtures/fleet.ts';

let fleet: FleetFixture;

beforeAll(async () => {
  fleet = await fleetFixture({ packages: [{ name: 'libtool++', size: 400_000 }] });
});
afterAll(() => fleet?.close());

const names = () => fleet.hosts.map((_, index) => `node-${index}`);

/** Through the proxy, as apt asks; resolves to status and bytes. */
function ask({ daemon }: FleetHost, url: string, headers = {}): Promise<[number, number]> {
  return new Promise((resolve, reject) => {
    const { address: host, aptPort: port } = daemon;
    const request = get({ host, port, path: url, headers, agent: false }, (response) => {
      let bytes = 0;
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
      });
      response.on('end', () => resolve([response.statusCode ?? 0, bytes]));
      response.on('error', reject);
    });
    request.on('error', reject);
  });
}

async function waysOf({ daemon }: FleetHost, query: string): Promise<readonly WayReport[]> {
  const text = await fetchText(daemon.address, daemon.aptPort, `/ways.json${query}`);
  const { ways } = JSON.parse(text) as { ways: WayReport[] };
  return ways;
}

/** The same, when one of them tells how bytes went: that may come after the last byte. */
const ended = (host: FleetHost, query: string, what: 'source' | 'given') =>
  vi.waitFor(async () => {
    const ways = await waysOf(host, query);
    expect(ways.flatMap((way) => stepsOf(way, what))).not.toEqual([]);
    return ways;
  }, 3_000);

const of = (url: string) => `?url=${encodeURIComponent(url)}`;

/** Of one way: its steps of a kind. */
function stepsOf<W extends string>(way: WayReport | undefined, what: W) {
  return way?.steps.filter((step) => step.what === what) ?? [];
}

/** The hosts by rank for a key. */
async function ranked(key: string): Promise<[FleetHost, FleetHost, FleetHost]> {
  const [first = 0, second = 0, third = 0] = await fleet.ranking(key);
  return [fleet.host(first), fleet.host(second), fleet.host(third)];
}

const nameOf = (host: FleetHost) => names()[fleet.hosts.indexOf(host)]!;

test('a volatile name: who owns it, what it stands for, where the bytes came from', async () => {
  const url = `${fleet.upstream.url}${fleet.archive.distPath('InRelease')}`;
  const [owner, member] = await ranked(url);
  const [status, bytes] = await ask(member, url);
  expect(status).toBe(200);

  // Others may have asked it what it knows: its owner has just started.
  const way = (await ended(member, of(url), 'source')).find(({ from }) => from === 'apt');
  expect(way).toMatchObject({ url, more: 0 });
  expect(way!.steps[0]).toMatchObject({ what: 'name', as: 'volatile' });
  expect(stepsOf(way, 'owner')[0]).toMatchObject({ member: nameOf(owner), rank: 0 });
  expect(stepsOf(way, 'asked')[0]).toMatchObject({ member: nameOf(owner), said: 'resolved' });
  const resolved = stepsOf(way, 'resolved');
  expect(resolved).toMatchObject([{ by: nameOf(owner), status: 200, stale: false }]);
  const source = { from: nameOf(owner), kind: 'member', bytes, end: 'whole' };
  expect(stepsOf(way, 'source')).toMatchObject([source]);
  expect(stepsOf(way, 'verdict')).toMatchObject([{ status: 200, bytes }]);

  // The same request where it made work.
  const { host } = new URL(url);
  const there = await ended(owner, `?id=${way!.id}`, 'given');
  expect(there.map(({ from }) => from)).toEqual(there.map(() => 'peer'));
  const steps = there.flatMap((each) => each.steps);
  expect(steps).toContainEqual(expect.objectContaining({ what: 'upstream', host, status: 200 }));
  expect(steps).toContainEqual(
    expect.objectContaining({ what: 'source', kind: 'upstream', bytes, end: 'whole' }),
  );
  expect(steps).toContainEqual(expect.objectContaining({ what: 'given', complete: true }));
});

test('a fixed name: the owner of the object is asked, and the next time it is here', async () => {
  const [deb] = fleet.archive.packages;
  const { sha256: digest, size } = deb!;
  const url = `${fleet.upstream.url}/${deb!.path}`;
  const [owner, member] = await ranked(digest);
  // The indexes that list it.
  const update = await member.apt.update();
  expect(update, update.stderr).toMatchObject({ code: 0 });
  expect(await ask(member, url)).toEqual([200, size]);
  expect(await ask(member, url)).toEqual([200, size]);

  const [again, first] = await ended(member, of(url), 'source');
  expect(first!.steps[0]).toMatchObject({ what: 'name', as: 'fixed', digest, size });
  expect(stepsOf(first, 'owner')[0]).toMatchObject({ member: nameOf(owner), rank: 0 });
  expect(stepsOf(first, 'asked')[0]).toMatchObject({
    member: nameOf(owner),
    said: 'here it is',
  });
  const source = { from: nameOf(owner), kind: 'member', bytes: size, end: 'whole' };
  expect(stepsOf(first, 'source')).toMatchObject([source]);
  expect(stepsOf(first, 'verdict')).toMatchObject([{ status: 200, bytes: size }]);
  expect(again!.steps.map(({ what }) => what)).toEqual(['name', 'stored', 'verdict']);

  const [there] = await ended(owner, `?id=${first!.id}`, 'given');
  expect(there).toMatchObject({ from: 'peer', url });
  expect(stepsOf(there, 'upstream')).toMatchObject([{ status: 200 }]);
  // By the object, whoever asked; of the member both.
  expect((await waysOf(owner, `?digest=${digest}`)).map(({ id }) => id)).toEqual([first!.id]);
  expect((await waysOf(member, `?digest=${digest}`)).map(({ id }) => id)).toEqual([
    again!.id,
    first!.id,
  ]);
});

test('queries and passwords are told by no member', async () => {
  const { url } = fleet.upstream;
  const there = `${url}${fleet.archive.distPath('Release')}`;
  const asked = [`${there}?token=hush-1`, `${url}/not/there?token=hush-2`];
  for (const each of asked) {
    const [, member, other] = await ranked(each);
    await ask(member, each);
    await ask(other, each);
    // Each is told, though not what it was asked with.
    expect(await waysOf(member, of(each))).not.toEqual([]);
  }
  const authorization = `Basic ${Buffer.from('user:hush-3').toString('base64')}`;
  const [status] = await ask(fleet.host(0), there, { authorization });
  expect(status).toBe(200);
  const [way] = await waysOf(fleet.host(0), of(there));
  expect(way!.steps[0]).toMatchObject({ what: 'name', as: 'private' });
  expect(stepsOf(way, 'upstream')).toMatchObject([{ status: 200 }]);
  for (const host of fleet.hosts) {
    const all = JSON.stringify(await waysOf(host, ''));
    expect(all).toContain('/not/there');
    expect(all).not.toMatch(/token|hush|Basic/);
  }
});

test('other hosts than localhost see nothing', async () => {
  const { daemon } = fleet.host(1);
  const { address: host, aptPort: port } = daemon;
  const status = (headers: Record<string, string>) =>
    new Promise((resolve, reject) => {
      get({ host, port, path: '/ways.json', headers, agent: false }, (response) => {
        response.resume();
        resolve(response.statusCode);
      }).on('error', reject);
    });
  expect(await status({ host: 'evil.example:3142' })).toBe(403);
  expect(await status({ host: 'localhost:3142' })).toBe(200);
});
