// A port with several listening sockets.
import { once } from 'node:events';
import { connect, createServer as createTcpServer, type Socket } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { createServer, listenWidely } from '../../node/wire/http-server.ts';

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

const host = '127.0.0.1';

async function wide(port = 0) {
  const server = createServer();
  ends.push(() => server.close());
  server.get('/', async () => 'here');
  const url = await listenWidely(server, { host, port });
  return { server, url, port: Number(new URL(url).port) };
}

test('whoever connects is answered, by whichever socket', async () => {
  const { url } = await wide();
  const ask = async () => await (await fetch(url, { headers: { connection: 'close' } })).text();
  const answers = await Promise.all(Array.from({ length: 40 }, ask));
  expect(answers).toEqual(Array(40).fill('here'));
});

test('those who wait are accepted several in a turn of the loop', async () => {
  const { server, port } = await wide();
  let accepted = 0;
  server.server.on('connection', () => accepted++);
  // The kernel has connected all of them before this process looks at any.
  for (let many = 0; many < 64; many++) {
    const socket = connect(port, host);
    ends.push(() => socket.destroy());
  }
  const turns: number[] = [];
  for (let before = 0; accepted < 64; before = accepted) {
    await nextTurn();
    if (accepted > before) turns.push(accepted - before);
  }
  expect(Math.max(...turns)).toBeGreaterThan(2);
});

test('a port that another one listens on, widely or not: EADDRINUSE', async () => {
  const { port } = await wide();
  await expect(wide(port)).rejects.toMatchObject({ code: 'EADDRINUSE' });
  const plain = createTcpServer().listen(0, host);
  ends.push(() => plain.close());
  await once(plain, 'listening');
  const taken = (plain.address() as { port: number }).port;
  await expect(wide(taken)).rejects.toMatchObject({ code: 'EADDRINUSE' });
});

test('closed, no socket of it is left', async () => {
  const { server, port } = await wide();
  await server.close();
  const refused = await Promise.all(
    Array.from({ length: 40 }, async () => {
      const socket: Socket = connect(port, host);
      return await new Promise((resolve) => {
        socket.once('connect', () => resolve(socket.destroy()));
        socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code));
      });
    }),
  );
  expect(refused).toEqual(Array(40).fill('ECONNREFUSED'));
});
