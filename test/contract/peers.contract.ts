// What all peers must do, whatever carries their messages. Called with a way to make one member
// that asks and one that is asked.
import { afterEach, describe, expect, it, vi } from 'vitest';
import { type Digest, digestOf } from '../../node/content/digest.ts';
import type { Serving } from '../../node/doors/peer/peer-door.ts';
import type { Outgoing } from '../../node/doors/peer/piece-writer.ts';
import { HerdError } from '../../node/errors.ts';
import { PIECE_BYTES } from '../../node/limits.ts';
import { Counters } from '../../node/metrics/counters.ts';
import type { Call } from '../../node/metrics/ways.ts';
import type { WantVerdict } from '../../node/serving/wants.ts';
import { MemoryStore } from '../../node/store/memory-store.ts';
import type {
  Claim,
  NameAnswer,
  NameQuery,
  PeerAddress,
  Peers,
  PieceStream,
  Progress,
  Want,
} from '../../node/transfer/peers.ts';
import type { PieceRange } from '../../node/transfer/source.ts';
import type { Member } from '../../tracker/protocol.ts';
import { memberFixture } from '../fixtures/members.ts';
import { hashesOf } from './store.contract.ts';

/** What is behind the door of the member that is asked. */
export interface Behind {
  readonly serving: Serving;
  readonly links: { readonly best: number };
  readonly members: () => readonly Member[];
  readonly counters: Counters;
  readonly outgoing: Outgoing;
}

export interface PeersFixture {
  readonly peers: Peers;
  readonly peer: PeerAddress;
  /** With each request that came, the id that it told. */
  told(): readonly (string | undefined)[];
  readonly remove: () => Promise<void>;
}

/** `patienceMs`: how long a silent peer is waited for. */
export type MakePeers = (behind: Behind, options: { patienceMs: number }) => Promise<PeersFixture>;

const PIECES = 160;
const body = Buffer.alloc(PIECES * PIECE_BYTES - 5, 'debherd');
const digest = digestOf(body);
const unknown = digestOf('nothing that anybody has');
const url = 'http://archive.ubuntu.com/ubuntu/pool/a.deb';
const member = memberFixture(1);
const want: Want = {
  ...{ digest, size: body.length, url, have: 0, member, view: 7 },
  ...{ exclude: ['x'], failed: ['y'], unable: [], direct: true },
};
const progress: Progress = { digest, member: member.id, have: 3, source: 's', idle: true };
const query: NameQuery = { url, noCache: true, view: 7 };
const resolution = { status: 200, digest, size: body.length, etag: '"1"', checkedAtMs: 1 };
const resolved: NameAnswer = { kind: 'resolved', resolution, ageMs: 0.5, stale: false };
const claim: Claim = {
  member,
  objects: [{ digest, have: 2 }],
  names: [{ url, resolution, ageMs: 1 }],
};

const failed = { name: 'HerdError', code: 'SOURCE_FAILED' };
const stalled = { name: 'HerdError', code: 'SOURCE_STALLED' };
const free = (): Call => ({ signal: new AbortController().signal });
const never = () => new Promise<never>(() => {});

interface Said {
  readonly want?: (want: Want) => Promise<WantVerdict>;
  readonly name?: NameAnswer;
  readonly move?: string;
  readonly outgoing?: Outgoing;
  readonly patienceMs?: number;
}

/** An owner that has `body`, and says besides what it is told to say. */
async function behindOf(said: Said) {
  const store = new MemoryStore();
  const partial = await store.partial(digest);
  await partial.append(body);
  await partial.commit({ digest, size: body.length }, hashesOf(body));
  const heard: unknown[] = [];
  let open = 0;
  const object = async (key: string) => {
    const reader = await store.open(key as Digest);
    if (!reader) return undefined;
    open++;
    const close = reader.close.bind(reader);
    reader.close = async () => {
      open--;
      await close();
    };
    return { kind: 'stored' as const, object: reader };
  };
  const note =
    <T>(answer: (...asked: never[]) => T) =>
    (...asked: unknown[]): T => {
      heard.push(asked[0]);
      return answer(...(asked as never[]));
    };
  const wants = {
    want: note(said.want ?? (async () => ({ kind: 'passed' }))),
    progress: note(() => ({ move: said.move ?? 'slow' })),
  };
  const claims = { take: note(() => {}) };
  const supplies = {
    object: note(object),
    enclosure: async ({ kind }: NameAnswer, has: readonly string[]) =>
      kind === 'resolved' && !has.includes(digest) ? await object(digest) : undefined,
  };
  const name = async () => said.name ?? resolved;
  const names = { answer: note(name), known: note(async () => ({ kind: 'unknown' })) };
  const behind = {
    ...{ serving: { wants, claims, supplies, names }, links: { best: 6e6 } },
    counters: new Counters(),
    members: () => [member, memberFixture(2)],
    outgoing: said.outgoing ?? (async (_index: number, bytes: Buffer) => bytes),
  } as unknown as Behind;
  return { behind, object, heard, open: () => open };
}

async function drain(stream: PieceStream): Promise<Buffer> {
  const parts: Buffer[] = [];
  for (let frame = await stream.next(); frame; frame = await stream.next()) {
    if (frame.type === 'piece') parts.push(Buffer.from(frame.bytes));
  }
  return Buffer.concat(parts);
}

/** Up to the first piece and no further. */
async function firstPiece(stream: PieceStream): Promise<void> {
  for (;;) if ((await stream.next())?.type === 'piece') return;
}

/** Each thing that one member may ask of another. */
const questions: [
  verb: string,
  ask: (peers: Peers, peer: PeerAddress, call: Call) => Promise<unknown>,
][] = [
  ['want', (peers, peer, call) => peers.want(peer, want, call)],
  ['object', (peers, peer, call) => peers.object(peer, unknown, { from: 0 }, call)],
  ['progress', (peers, peer, call) => peers.progress(peer, progress, call)],
  ['name', (peers, peer, call) => peers.name(peer, query, call)],
  ['claim', (peers, peer, call) => peers.claim(peer, claim, call)],
  ['members', (peers, peer, call) => peers.members(peer, call)],
  ['hello', (peers, peer, call) => peers.hello(peer, call)],
];

function fixtures(make: MakePeers) {
  const made: PeersFixture[] = [];
  afterEach(async () => {
    for (const { remove } of made.splice(0)) await remove();
  });
  return async (said: Said = {}) => {
    const { behind, ...side } = await behindOf(said);
    const fresh = await make(behind, { patienceMs: said.patienceMs ?? 10_000 });
    made.push(fresh);
    const { peers, peer } = fresh;
    const get = async (range: PieceRange, call = free()) =>
      (await peers.object(peer, digest, range, call))!;
    return { ...side, ...fresh, get };
  };
}

export function peersContract(name: string, make: MakePeers): void {
  const fixture = fixtures(make);

  describe(`${name} carry`, () => {
    it.each<WantVerdict>([
      { kind: 'passed' },
      { kind: 'elsewhere', source: memberFixture(5) },
      { kind: 'redirect', owner: memberFixture(6) },
    ])('a want as it is, and its answer: $kind', async (verdict) => {
      const { peers, peer, heard } = await fixture({ want: async () => verdict });
      expect(await peers.want(peer, want, free())).toEqual(verdict);
      expect(heard).toEqual([want]);
    });

    it('news, claims and questions as they are, and their answers', async () => {
      const { peers, peer, heard } = await fixture();
      expect(await peers.progress(peer, progress, free())).toEqual({ move: 'slow' });
      expect(await peers.claim(peer, claim, free())).toBeUndefined();
      expect(await peers.name(peer, query, free())).toEqual(resolved);
      expect(await peers.name(peer, { ...query, onlyKnown: true }, free())).toEqual({
        kind: 'unknown',
      });
      expect(await peers.members(peer, free())).toEqual([member, memberFixture(2)]);
      expect(await peers.hello(peer, free())).toEqual({ link: 6e6 });
      expect(heard).toEqual([progress, claim, url, url]);
    });

    it.each<NameAnswer>([
      { kind: 'pending' },
      { kind: 'streaming', key: `name-${'a'.repeat(40)}` },
      { kind: 'failed', error: new HerdError('UPSTREAM_DENIED', 'no').toJSON() },
    ])('the answer for a name: $kind', async (answer) => {
      const { peers, peer } = await fixture({ name: answer });
      expect(await peers.name(peer, query, free())).toEqual(answer);
    });

    it.each(questions)('the id of the request with %s, if there is one', async (_verb, ask) => {
      const { peers, peer, told } = await fixture();
      await ask(peers, peer, { ...free(), trace: { id: 'r42', note: () => {} } });
      await ask(peers, peer, free());
      expect(told()).toEqual(['r42', undefined]);
    });
  });

  describe(`${name} give bytes`, () => {
    it('whole, in part, and none of what is not there', async () => {
      const { peers, peer, get, open } = await fixture();
      expect(digestOf(await drain(await get({ from: 0 })))).toBe(digest);
      const part = await drain(await get({ from: 3, to: 5 }));
      expect(part.equals(body.subarray(3 * PIECE_BYTES, 5 * PIECE_BYTES))).toBe(true);
      expect(await peers.object(peer, unknown, { from: 0 }, free())).toBeUndefined();
      expect(await peers.object(peer, 'rubbish', { from: 0 }, free())).toBeUndefined();
      await vi.waitFor(() => expect(open()).toBe(0));
    });

    it('for a want, from the first piece that is missing, and hear that all came', async () => {
      const served: boolean[] = [];
      const side = await fixture({
        want: async () => ({
          kind: 'supply',
          supply: (await side.object(digest))!,
          served: (complete) => served.push(complete),
        }),
      });
      const answer = await side.peers.want(side.peer, { ...want, have: PIECES - 2 }, free());
      expect(answer.kind).toBe('stream');
      const { stream } = answer as { stream: PieceStream };
      expect((await drain(stream)).equals(body.subarray((PIECES - 2) * PIECE_BYTES))).toBe(true);
      await vi.waitFor(() => expect([served, side.open()]).toEqual([[true], 0]));
    });

    it('with the answer for a name, unless the asker has them or does not say', async () => {
      const { peers, peer } = await fixture();
      const { stream, ...answer } = (await peers.name(peer, { ...query, has: [] }, free())) as {
        stream: PieceStream;
      };
      expect(answer).toEqual(resolved);
      expect(digestOf(await drain(stream))).toBe(digest);
      expect(await peers.name(peer, { ...query, has: [digest] }, free())).toEqual(resolved);
    });

    it('to an end that stays', async () => {
      const { get } = await fixture();
      const stream = await get({ from: PIECES - 2 });
      await drain(stream);
      expect(await stream.next()).toBeUndefined();
      stream.cancel();
      stream.done();
      expect(await stream.next()).toBeUndefined();
    });

    it('until the reader has all it wanted, and let go', async () => {
      const { get, open } = await fixture();
      const stream = await get({ from: PIECES - 1 });
      await firstPiece(stream);
      stream.done();
      await vi.waitFor(() => expect(open()).toBe(0));
      const more = await get({ from: 0 });
      await firstPiece(more);
      more.done();
      await vi.waitFor(() => expect(open()).toBe(0));
    });

    it('at the pace of the reader', async () => {
      let sent = 0;
      const outgoing: Outgoing = async (_index, bytes) => {
        sent++;
        return bytes;
      };
      const { get } = await fixture({ outgoing });
      const stream = await get({ from: 0 });
      for (let before = -1; before !== sent; ) {
        before = sent;
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      expect(sent).toBeLessThan(PIECES);
      expect(digestOf(await drain(stream))).toBe(digest);
    });
  });

  failures(name, make);
  endings(name, make);
}

function failures(name: string, make: MakePeers): void {
  const fixture = fixtures(make);

  describe(`${name} fail with SOURCE_FAILED`, () => {
    it.each(questions)('where nobody is there to hear %s', async (_verb, ask) => {
      const { peers } = await fixture();
      const nobody = { address: '127.0.0.1', port: 9 };
      await expect(ask(peers, nobody, free())).rejects.toMatchObject(failed);
    });

    it.each(['NO_SOURCE', 'NOT_FOUND', 'INTERNAL'] as const)(
      'if the peer says %s',
      async (code) => {
        const { peers, peer } = await fixture({
          want: () => Promise.reject(new HerdError(code, 'I cannot')),
        });
        await expect(peers.want(peer, want, free())).rejects.toMatchObject(failed);
      },
    );

    it('if the peer answers nonsense', async () => {
      const said = { move: 'sideways', name: { kind: 'streaming', key: 'no key' } } as const;
      const { peers, peer } = await fixture(said);
      await expect(peers.progress(peer, progress, free())).rejects.toMatchObject(failed);
      await expect(peers.name(peer, query, free())).rejects.toMatchObject(failed);
    });

    it('if nonsense is asked, and the owner does not hear it', async () => {
      const { peers, peer, heard } = await fixture();
      const nonsense = { ...want, digest: 'no digest' as Digest };
      await expect(peers.want(peer, nonsense, free())).rejects.toMatchObject(failed);
      const nowhere = { ...query, url: 'file:///etc/shadow' };
      await expect(peers.name(peer, nowhere, free())).rejects.toMatchObject(failed);
      expect(heard).toEqual([]);
    });

    it('if the peer is cut off among the pieces, and again when asked again', async () => {
      const outgoing: Outgoing = async (index, bytes, sink) => {
        if (index === 3) sink.destroy();
        return bytes;
      };
      const { get, open } = await fixture({ outgoing });
      const stream = await get({ from: 0 });
      await expect(drain(stream)).rejects.toMatchObject(failed);
      await expect(stream.next()).rejects.toMatchObject(failed);
      await vi.waitFor(() => expect(open()).toBe(0));
    });
  });

  describe(`${name} fail with SOURCE_STALLED`, () => {
    it('if the peer is silent before its answer, and its place is free again', async () => {
      const served: boolean[] = [];
      const answer = Promise.withResolvers<WantVerdict>();
      const side = await fixture({ want: () => answer.promise, patienceMs: 150 });
      await expect(side.peers.want(side.peer, want, free())).rejects.toMatchObject(stalled);
      answer.resolve({
        kind: 'supply',
        supply: (await side.object(digest))!,
        served: (complete) => served.push(complete),
      });
      // Whatever it thinks has gone out by then.
      await vi.waitFor(() => expect([served.length, side.open()]).toEqual([1, 0]));
    });

    it('if the peer is silent among the pieces, and again when asked again', async () => {
      const outgoing: Outgoing = (index, bytes) => (index === 3 ? never() : Promise.resolve(bytes));
      const { get } = await fixture({ outgoing, patienceMs: 150 });
      const stream = await get({ from: 0 });
      await expect(drain(stream)).rejects.toMatchObject(stalled);
      await expect(stream.next()).rejects.toMatchObject(stalled);
    });
  });
}

function endings(name: string, make: MakePeers): void {
  const fixture = fixtures(make);

  describe(`${name} end with SOURCE_FAILED`, () => {
    it.each(questions)('before %s is asked, if nobody wants it', async (_verb, ask) => {
      const { peers, peer, told } = await fixture();
      const call = { signal: AbortSignal.abort() };
      await expect(ask(peers, peer, call)).rejects.toMatchObject(failed);
      expect(told()).toEqual([]);
    });

    it('when nobody waits for the answer any more, and the place there is free again', async () => {
      const served: boolean[] = [];
      const answer = Promise.withResolvers<WantVerdict>();
      const side = await fixture({ want: () => answer.promise });
      const controller = new AbortController();
      const asking = side.peers.want(side.peer, want, controller);
      asking.catch(() => {});
      await vi.waitFor(() => expect(side.heard).toHaveLength(1));
      controller.abort();
      await expect(asking).rejects.toMatchObject(failed);
      answer.resolve({
        kind: 'supply',
        supply: (await side.object(digest))!,
        served: (complete) => served.push(complete),
      });
      // Whatever it thinks has gone out by then.
      await vi.waitFor(() => expect([served.length, side.open()]).toEqual([1, 0]));
    });

    it.each<[string, (stream: PieceStream, controller: AbortController, peers: Peers) => unknown]>([
      ['cancelled', (stream) => stream.cancel()],
      ['aborted', (_stream, controller) => controller.abort()],
      ['cut when the peers are closed', (_stream, _controller, peers) => peers.close()],
    ])('a stream that is %s, and the sender lets go', async (_way, end) => {
      const outgoing: Outgoing = (index, bytes) => (index === 3 ? never() : Promise.resolve(bytes));
      const held = await fixture({ outgoing });
      const flowing = await fixture();
      for (const { get, peers } of [held, flowing]) {
        const controller = new AbortController();
        const stream = await get({ from: 0 }, controller);
        await firstPiece(stream);
        const draining = drain(stream);
        draining.catch(() => {});
        await end(stream, controller, peers);
        await expect(draining).rejects.toMatchObject(failed);
        await expect(stream.next()).rejects.toMatchObject(failed);
      }
      await vi.waitFor(() => expect(flowing.open()).toBe(0));
    });

    it('a question that is under way when the peers are closed', async () => {
      const { peers, peer, heard } = await fixture({ want: never });
      const asking = peers.want(peer, want, free()) as Promise<unknown>;
      asking.catch(() => {});
      await vi.waitFor(() => expect(heard).toHaveLength(1));
      await peers.close();
      await expect(asking).rejects.toMatchObject(failed);
    });
  });
}
