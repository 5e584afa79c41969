// The ports that tests set aside for daemons which start later.
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { expect, it } from 'vitest';
import { freePort } from '../fixtures/ports.ts';

it('sets no port aside that an outgoing connection may get', async () => {
  const range = readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8');
  const port = await freePort();
  expect(port).toBeGreaterThan(1023);
  expect(port).toBeLessThan(Number.parseInt(range, 10));
});

it('passes over what somebody listens on, by TCP or UDP, and gives each once', async () => {
  const address = '127.0.0.9';
  const first = await freePort(address);
  const server = createServer().listen(first + 1, address);
  const socket = createSocket('udp4').bind(first + 2, address);
  await Promise.all([once(server, 'listening'), once(socket, 'listening')]);
  const later = [await freePort(address), await freePort(address)];
  server.close();
  socket.close();
  expect(new Set([first, first + 1, first + 2, ...later]).size).toBe(5);
});

it('tells what is wrong with the address', async () => {
  await expect(freePort('192.0.2.1')).rejects.toThrow('EADDRNOTAVAIL');
});
