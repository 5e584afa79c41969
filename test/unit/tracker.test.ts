import { afterEach, describe, expect, it } from 'vitest';
import { deriveFleetKey } from '../../node/fleet/fleet-key.ts';
import type { Credentials } from '../../node/wire/credentials.ts';
import { Pool } from '../../node/wire/http-client.ts';
import { trackerOrigin } from '../../tracker/client.ts';
import type { Member } from '../../tracker/protocol.ts';
import { ManualClock } from '../fixtures/manual-clock.ts';
import { memberFixture, vitalsFixture } from '../fixtures/members.ts';
import { fleetKeyFixture, followerFixture, trackerFixture } from '../fixtures/tracker.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const connect = fleetKeyFixture.credentials.client('127.0.0.1');

async function tracker(options: Parameters<typeof trackerFixture>[0] = {}) {
  const started = await trackerFixture(options);
  cleanups.push(() => started.close());
  return started;
}

function follow(url: string, member: Member, credentials?: Credentials) {
  const follower = followerFixture(url, member, credentials);
  cleanups.push(() => follower.client.close());
  follower.client.start();
  return follower;
}

async function ask(url: string, path: string, body?: unknown) {
  const pool = new Pool(url, { connect });
  cleanups.push(() => pool.destroy());
  const post = { method: 'POST', headers: { 'content-type': 'application/json' } } as const;
  const answer = await pool.request(
    body === undefined ? { path, method: 'GET' } : { path, ...post, body: JSON.stringify(body) },
  );
  const json = (await answer.body.json()) as Record<string, unknown>;
  return { status: answer.statusCode, json };
}

const [one, two, three] = [1, 2, 3].map((n) => memberFixture(n)) as [Member, Member, Member];

describe('the tracker and its client', () => {
  it('tells every follower within 30 ms who joined', async () => {
    const clock = new ManualClock();
    const { url } = await tracker({ clock });
    const first = follow(url, one);
    await first.until(() => first.list().length === 1);
    expect(first.client.connected).toBe(true);
    await ask(url, '/v1/announce', { protocol: 1, member: two, vitals: vitalsFixture });
    expect(first.list()).toHaveLength(1);
    clock.advance(30);
    await first.until(() => first.list().length === 2);
    // The follower itself may still be in the same batch.
    const joined = expect.arrayContaining([expect.objectContaining({ id: two.id })]);
    expect(first.changes.at(-1)).toMatchObject({ full: false, joined });
  });

  it('is reached over loopback by its own machine where it listens everywhere', async () => {
    const { port, localUrl } = await tracker({ host: '::' });
    // bindv6only (ipv6(7)): over IPv4 nobody would answer.
    expect(localUrl).toBe(`https://[::1]:${port}`);
    expect((await ask(localUrl, '/v1/fleet')).status).toBe(200);
    const onlyIpv4 = await tracker({ host: '0.0.0.0' });
    expect(onlyIpv4.localUrl).toBe(`https://127.0.0.1:${onlyIpv4.port}`);
    const narrow = await tracker();
    expect(narrow.localUrl).toBe(narrow.url);
  });

  it('counts an announcement, a question for the list, and what comes back', async () => {
    const { url } = await tracker();
    const first = follow(url, one);
    await first.until(() => first.list().length === 1);
    expect(first.messages()).toBe(3 + first.changes.length);
  });

  it('carries sixty joins of one moment in few changes', async () => {
    const { url } = await tracker();
    const first = follow(url, memberFixture(1));
    await first.until(() => first.list().length === 1);
    const pool = new Pool(url, { connect, connections: 8 });
    cleanups.push(() => pool.destroy());
    await Promise.all(
      Array.from({ length: 59 }, async (_, n) => {
        const member = memberFixture(n + 2);
        const body = JSON.stringify({ protocol: 1, member, vitals: vitalsFixture });
        const headers = { 'content-type': 'application/json' };
        await (
          await pool.request({ path: '/v1/announce', method: 'POST', headers, body })
        ).body.dump();
      }),
    );
    await first.until(() => first.list().length === 60);
    expect(first.changes.length).toBeLessThan(12);
  });

  it('drops a member whose connection closed, after 2.5 s and not before', async () => {
    const clock = new ManualClock();
    const { url, report } = await tracker({ clock });
    const first = follow(url, one);
    const second = follow(url, two);
    await second.until(() => second.client.connected);
    await second.client.close();
    // On a new connection: when it is answered, the end of the other one has been seen.
    await ask(url, '/v1/fleet');
    clock.advance(2400);
    expect(report().members).toHaveLength(2);
    clock.advance(600);
    expect(report().members).toHaveLength(1);
    clock.advance(30);
    await first.until(() => first.changes.at(-1)?.left.includes(two.id) === true);
    expect(first.list()).toEqual([one.id]);
  });

  it('is found again after its death, with a list of its own', async () => {
    const before = await tracker();
    const first = follow(before.url, one);
    await first.until(() => first.list().length === 1);
    await before.close();
    await first.until(() => !first.client.connected);
    const after = await tracker({ port: before.port });
    await first.until(() => first.client.connected);
    expect(first.list()).toEqual([one.id]);
    const [old, fresh] = [first.changes[0]!, first.changes.at(-1)!];
    expect(fresh.tracker).not.toBe(old.tracker);
    expect(fresh.view).toBeGreaterThan(old.view);
    expect(after.report().members).toHaveLength(1);
  });

  it('fills an empty address in from the connection', async () => {
    const { url } = await tracker();
    const { json } = await ask(url, '/v1/announce', {
      protocol: 1,
      member: { ...one, address: '' },
      vitals: vitalsFixture,
    });
    expect(json).toMatchObject({ address: '127.0.0.1', intervalMs: 12_000 });
    expect((await ask(url, '/v1/members')).json).toMatchObject({
      full: true,
      joined: [{ id: one.id, address: '127.0.0.1' }],
    });
  });

  it('shows the fleet with its vitals', async () => {
    const { url } = await tracker();
    const vitals = { ...vitalsFixture, objects: 3, counters: { 'apt.requests': 9 } };
    await ask(url, '/v1/announce', { protocol: 1, member: three, vitals });
    const { json } = await ask(url, '/v1/fleet');
    expect(json.members).toMatchObject([{ member: { id: three.id }, vitals }]);
  });

  it.each([
    ['another protocol', { protocol: 9, member: one }, /speaks protocol 1, the node 9/],
    ['a bad id', { protocol: 1, member: { ...one, id: 'x' } }, /no valid member: id/],
    [
      'a host name',
      { protocol: 1, member: { ...one, address: 'evil.example' } },
      /member: address/,
    ],
    ['port 0', { protocol: 1, member: { ...one, port: 0 } }, /no valid member: port/],
    ['no member', { protocol: 1 }, /no valid member: member/],
    ['an array', [], /a JSON object/],
  ])('refuses %s with one clear line', async (_, body, message) => {
    const { url } = await tracker();
    const { status, json } = await ask(url, '/v1/announce', body);
    expect(status).toBe(400);
    expect(json).toMatchObject({ code: 'BAD_REQUEST', message: expect.stringMatching(message) });
    expect((await ask(url, '/v1/members')).json).toMatchObject({ joined: [] });
  });

  it('gives nothing to a node with another key, which says so once', async () => {
    const { url, report } = await tracker();
    const stranger = follow(url, one, deriveFleetKey('the key of that fleet').credentials);
    await stranger.until(() => stranger.warnings.length > 0);
    expect(stranger.warnings[0]).toMatch(/tracker does not answer: ./);
    expect(stranger.changes).toEqual([]);
    expect(report().members).toEqual([]);
  });
});

describe('old and new together', () => {
  it.each([
    [1, 1],
    [1, 2],
    [2, 1],
    [2, 2],
    [2, 3],
    [3, 2],
  ])('a node of protocol %d is listed by a tracker of protocol %d', async (own, theirs) => {
    const { url, report } = await tracker({ protocol: theirs });
    const node = follow(url, { ...one, protocol: own });
    await node.until(() => node.list().length === 1);
    expect(report().members.map(({ member }) => member.protocol)).toEqual([own]);
    expect(node.warnings).toEqual([]);
  });

  it.each([
    [1, 3, /speaks protocol 3 and 2, the node 1: install the same version/],
    [3, 1, /speaks protocol 1, the node 3: install the same version/],
  ])('a node of protocol %d hears why one of protocol %d refuses it', async (own, theirs, why) => {
    const { url, report } = await tracker({ protocol: theirs });
    const node = follow(url, { ...one, protocol: own });
    await node.until(() => node.warnings.length > 0);
    expect(node.warnings[0]).toMatch(why);
    expect(report().members).toEqual([]);
  });

  it('a node speaks its own protocol with a tracker that was upgraded meanwhile', async () => {
    const old = await tracker({ protocol: 1 });
    const node = follow(old.url, { ...one, protocol: 2 });
    await node.until(() => node.client.connected);
    await old.close();
    await node.until(() => !node.client.connected);
    // It would refuse protocol 1.
    await tracker({ port: old.port, protocol: 3 });
    await node.until(() => node.client.connected);
  });
});

describe('trackerOrigin', () => {
  it('takes host:port and URLs, and names what is neither', () => {
    expect(trackerOrigin('tracker.example:3144')).toBe('https://tracker.example:3144');
    expect(trackerOrigin('https://[::1]:3144/x')).toBe('https://[::1]:3144');
    expect(() => trackerOrigin('tracker')).toThrow(/"tracker" is not a URL like https/);
  });
});
