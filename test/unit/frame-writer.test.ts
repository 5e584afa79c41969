// Frames in an HTTP answer: a general HTTP client reads the same frames, whole and in order.
import { once } from 'node:events';
import { createServer, request as httpRequest, type ServerResponse } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { sha256 } from '../../node/content/digest.ts';
import { PiecePool } from '../../node/content/piece-pool.ts';
import { PIECE_BYTES } from '../../node/limits.ts';
import { type FrameSink, frameSink } from '../../node/wire/frame-writer.ts';
import { encode, type Frame, FrameDecoder } from '../../node/wire/frames.ts';
import { QuietWatch } from '../../node/wire/quiet-watch.ts';
import { ManualClock } from '../fixtures/manual-clock.ts';

const ends: (() => unknown)[] = [];
afterEach(() => {
  for (const end of ends.splice(0).reverse()) end();
});

async function serve(write: (sink: FrameSink, response: ServerResponse) => Promise<void>) {
  const pool = new PiecePool();
  const clock = new ManualClock();
  const watch = new QuietWatch({ clock }, { tickMs: 1_000 });
  const server = createServer(async (_request, response) => {
    response.writeHead(200, { 'content-type': 'x/y' });
    await write(await frameSink(response, { pool, watch }), response);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  ends.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, pool, clock };
}

async function framesOf(port: number): Promise<Frame[]> {
  const request = httpRequest({ port, agent: false }).end();
  const [response] = await once(request, 'response');
  const frames: Frame[] = [];
  const decoder = new FrameDecoder(new PiecePool(), (frame) => frames.push(frame));
  for await (const chunk of response) decoder.push(chunk);
  expect(decoder.atBoundary).toBe(true);
  return frames;
}

/** As they come in from upstream: in memory with room around it. */
function pooled(pool: PiecePool, bytes: Buffer): Buffer {
  const piece = pool.take(bytes.length);
  bytes.copy(piece);
  return piece;
}

test('pieces of any length, with room around them or without, and other frames', async () => {
  const lengths = [1, 15, 16, 4096, PIECE_BYTES - 1, PIECE_BYTES];
  const pieces = lengths.map((length, n) => Buffer.alloc(length, `piece ${n}`));
  const { port, pool } = await serve(async (sink) => {
    await sink.write(encode.meta({ size: 7 }));
    for (const [n, bytes] of pieces.entries()) await sink.piece(n, sha256(bytes), bytes);
    await sink.write(encode.wait(5));
    for (const [n, bytes] of pieces.entries()) {
      await sink.piece(n, sha256(bytes), pooled(pool, bytes));
    }
    await sink.write(encode.end(lengths.length));
    sink.end();
  });
  const piece = (bytes: Buffer, index: number) => ({
    type: 'piece',
    index,
    hash: sha256(bytes),
    bytes,
  });
  expect(await framesOf(port)).toEqual([
    { type: 'meta', meta: { size: 7 } },
    ...pieces.map(piece),
    { type: 'wait', ageMs: 5 },
    ...pieces.map(piece),
    { type: 'end', pieces: lengths.length },
  ]);
});

/** Sizes of what goes to the socket of `response` from now on, several at once as their sum. */
function writesOf(response: ServerResponse): number[] {
  const socket = response.socket!;
  const sizes: number[] = [];
  const [write, writev] = [socket._write.bind(socket), socket._writev!.bind(socket)];
  socket._write = (chunk, encoding, done) => {
    sizes.push(chunk.length);
    write(chunk, encoding, done);
  };
  socket._writev = (chunks, done) => {
    sizes.push(chunks.reduce((sum, { chunk }) => sum + chunk.length, 0));
    writev(chunks, done);
  };
  return sizes;
}

test.each([
  ['a small object: its head, then the rest', 1000, 2],
  ['a large piece goes alone, uncopied', PIECE_BYTES, 3],
])('few writes for %s', async (_what, length, writes) => {
  const bytes = Buffer.alloc(length, 'a');
  let sizes: number[] = [];
  const { port, pool } = await serve(async (sink, response) => {
    sizes = writesOf(response);
    await sink.write(encode.meta({ size: length }));
    await new Promise((resolve) => setImmediate(resolve));
    await sink.piece(0, sha256(bytes), pooled(pool, bytes));
    sink.end(encode.end(1));
  });
  expect((await framesOf(port)).map(({ type }) => type)).toEqual(['meta', 'piece', 'end']);
  expect(sizes).toHaveLength(writes);
});

test('several readers of one piece in memory, which is left as it was', async () => {
  const bytes = Buffer.alloc(PIECE_BYTES, 'shared');
  const hash = sha256(bytes);
  let shared: Buffer | undefined;
  const { port, pool } = await serve(async (sink) => {
    shared ??= pooled(pool, bytes);
    await sink.piece(7, hash, shared);
    sink.end();
  });
  for (const frames of await Promise.all([1, 2, 3].map(() => framesOf(port)))) {
    expect(frames).toEqual([{ type: 'piece', index: 7, hash, bytes }]);
  }
  expect(shared!.equals(bytes)).toBe(true);
});

test('memory of others gets nothing written around it', async () => {
  const around = Buffer.alloc(1000, 1);
  const { port } = await serve(async (sink) => {
    const bytes = around.subarray(64, 900);
    await sink.piece(0, sha256(bytes), bytes);
    sink.end();
  });
  expect(await framesOf(port)).toHaveLength(1);
  expect(around.equals(Buffer.alloc(1000, 1))).toBe(true);
});

test('after the peer left nothing more is sent', async () => {
  const done = Promise.withResolvers<string>();
  const { port } = await serve(async (sink) => {
    const bytes = Buffer.alloc(PIECE_BYTES, 'a');
    let sent = 0;
    await sink.piece(0, sha256(bytes), bytes, () => sent++);
    await sink.left;
    await sink.piece(1, sha256(bytes), bytes);
    done.resolve(`${sent} ${sink.gone}`);
  });
  const request = httpRequest({ port, agent: false }).end();
  const [response] = await once(request, 'response');
  response.once('data', () => request.destroy());
  expect(await done.promise).toBe('1 true');
});

/** Sends pieces until the peer, which does not read, has no room; one at least is on its way. */
async function fill(sink: FrameSink, pool: PiecePool, sent: (index: number) => void) {
  const bytes = Buffer.alloc(PIECE_BYTES, 'a');
  for (let index = 0; ; index++) {
    let done = false;
    const sending = sink.piece(index, sha256(bytes), pooled(pool, bytes), () => sent(index));
    void sending.then(() => (done = true));
    for (let turns = 0; turns < 20 && !done; turns++) await sleep(2);
    if (!done) return { count: index + 1, sending };
  }
}

test('a piece in memory is free again when it was sent, and not before', async () => {
  const sent: number[] = [];
  const full = Promise.withResolvers<number>();
  const { port, pool } = await serve(async (sink) => {
    const { count, sending } = await fill(sink, pool, (index) => sent.push(index));
    full.resolve(count);
    await sending;
    sink.end();
  });
  const request = httpRequest({ port, agent: false }).end();
  const [response] = await once(request, 'response');
  const count = await full.promise;
  const indices = Array.from({ length: count }, (_, index) => index);
  expect(sent).toEqual(indices.slice(0, -1));
  for await (const _ of response);
  expect(sent).toEqual(indices);
});

test('a peer that takes nothing is cut off, one for which there is nothing is not', async () => {
  const full = Promise.withResolvers<void>();
  const states: boolean[] = [];
  const { port, pool, clock } = await serve(async (sink) => {
    await sink.write(encode.meta({ size: 7 }));
    await new Promise((resolve) => setImmediate(resolve));
    clock.advance(200_000);
    states.push(sink.gone);
    const { sending } = await fill(sink, pool, () => {});
    clock.advance(60_000);
    await new Promise((resolve) => setImmediate(resolve));
    states.push(sink.gone);
    clock.advance(2_000);
    await sending;
    states.push(sink.gone);
    full.resolve();
  });
  const request = httpRequest({ port, agent: false }).end();
  request.on('error', () => {});
  const [response] = await once(request, 'response');
  response.on('error', () => {});
  await full.promise;
  expect(states).toEqual([false, false, true]);
  expect(clock.pending).toBe(0);
});

test('an answer waits for its turn on a connection', async () => {
  let count = 0;
  const first = Promise.withResolvers<void>();
  const { port } = await serve(async (sink) => {
    const n = ++count;
    if (n === 1) await first.promise;
    await sink.write(encode.end(n));
    sink.end();
  });
  const socket = connect(port, '127.0.0.1');
  ends.push(() => socket.destroy());
  const head = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';
  socket.write(head + head);
  setTimeout(() => first.resolve(), 100);
  let text = '';
  for await (const chunk of socket) {
    text += chunk.toString('latin1');
    if (text.split('0\r\n\r\n').length === 3) break;
  }
  const [one = '', two = ''] = text.split('0\r\n\r\n');
  expect(one).toContain(encode.end(1).toString('latin1'));
  expect(two).toContain(encode.end(2).toString('latin1'));
});
