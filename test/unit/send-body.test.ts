// The head of an answer waits for the first byte, unless that is late.
import { once } from 'node:events';
import { createServer, get, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { sendBody } from '../../node/doors/apt/send-body.ts';
import { FakeUpstream } from '../fixtures/fake-upstream.ts';
import { fastClock, herdFixture, objectOf } from '../fixtures/herd.ts';

let end = () => {};
afterEach(() => end());

async function answerTo(chunks: AsyncIterable<Buffer>, length: number): Promise<IncomingMessage> {
  const controller = new AbortController();
  const { signal } = controller;
  const server = createServer((_req, res) => {
    res.socket?.once('close', () => controller.abort());
    const begin = () => void res.writeHead(200, { 'content-length': length });
    void sendBody(res, chunks, length, signal, begin).catch(() => res.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  end = () => {
    server.closeAllConnections();
    server.close();
  };
  const { port } = server.address() as AddressInfo;
  return await new Promise((resolve, reject) =>
    get({ port, host: '127.0.0.1' }, resolve).on('error', reject),
  );
}

test('bytes that do not come in 20 s: the head, and the bytes when they come', async () => {
  const object = objectOf('late', 300_000);
  const late = Promise.withResolvers<void>();
  const upstream = new FakeUpstream(() => ({
    body: object.body,
    size: object.body.length,
    pace: () => late.promise,
  }));
  const clock = fastClock(100);
  const { nodes } = herdFixture({ nodes: 1, objects: [object], upstream, clock });
  const { signal } = new AbortController();
  const content = await nodes[0]!.delivery.get({ url: object.url, noCache: false, signal });
  const size = object.body.length;
  const answer = await answerTo(content.read(0, size, signal), size);
  expect(answer.statusCode).toBe(200);
  late.resolve();
  const parts: Buffer[] = [];
  for await (const part of answer) parts.push(part);
  expect(Buffer.concat(parts).equals(object.body)).toBe(true);
  content.close();
});

describe('the memory of a body', () => {
  // More than the sockets between the two take while nobody reads.
  const size = 32 * 1024 * 1024;

  async function unread() {
    const left = Promise.withResolvers<void>();
    let isLeft = false;
    async function* chunks() {
      try {
        yield Buffer.alloc(size);
      } finally {
        isLeft = true;
        left.resolve();
      }
    }
    const answer = await answerTo(chunks(), size);
    await once(answer, 'readable');
    return { answer, left: left.promise, isLeft: () => isLeft };
  }

  test('is in use until the socket has taken the last chunk', async () => {
    const { answer, left, isLeft } = await unread();
    expect(isLeft()).toBe(false);
    answer.resume();
    await left;
    await once(answer, 'end');
  });

  test('is given back when the client goes before the end', async () => {
    const { answer, left, isLeft } = await unread();
    expect(isLeft()).toBe(false);
    answer.destroy();
    await left;
  });
});
