// What a person is told when the daemon cannot start; the errors are the system's own.
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { explainStartFailure } from '../../node/cli/start-failure.ts';
import { HerdError } from '../../node/errors.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'debherd-start-'));
afterAll(() => rmSync(folder, { recursive: true }));
const places = {
  state: path.join(folder, 'state'),
  fleetKeyFile: path.join(folder, 'key'),
  listens: [],
};

function thrownBy(fn: () => unknown): unknown {
  try {
    fn();
  } catch (error) {
    return error;
  }
  throw new Error('nothing thrown');
}

it('a port in use, TCP and UDP', async () => {
  const first = createServer().listen(0, '127.0.0.1');
  await once(first, 'listening');
  const { port } = first.address() as AddressInfo;
  const listens = [
    ['peer-listen', { host: '0.0.0.0', port }],
    ['apt-listen', { host: '127.0.0.1', port }],
  ] as const;
  const [error] = await once(createServer().listen(port, '127.0.0.1'), 'error').catch((e) => [e]);
  expect(explainStartFailure(error, { ...places, listens })).toBe(
    `cannot listen on 127.0.0.1:${port} (apt-listen): another program uses it; ` +
      'stop that one or set apt-listen to a free port',
  );
  first.close();

  const udp = createSocket('udp4').bind(0, '127.0.0.1');
  await once(udp, 'listening');
  const taken = udp.address().port;
  const second = createSocket('udp4');
  second.bind(taken, '127.0.0.1');
  const [bound] = await once(second, 'error').catch((e) => [e]);
  const peer = [['peer-listen', { host: '0.0.0.0', port: taken }]] as const;
  expect(explainStartFailure(bound, { ...places, listens: peer })).toContain('(peer-listen)');
  udp.close();
});

it('an address that this machine does not have', async () => {
  const [error] = await once(createServer().listen(0, '192.0.2.1'), 'error').catch((e) => [e]);
  expect(explainStartFailure(error, places)).toContain('this machine has no such address');
});

it('a fleet key that cannot be read', () => {
  const error = thrownBy(() => readFileSync(places.fleetKeyFile));
  expect(explainStartFailure(new Error('wrapped', { cause: error }), places)).toBe(
    `cannot read the fleet key ${places.fleetKeyFile} (fleet-key-file): it does not exist; ` +
      'set fleet-key-file to a file that this user may read',
  );
});

it('a state folder that is a file, or is in use', () => {
  writeFileSync(places.state, '');
  const error = thrownBy(() => mkdirSync(path.join(places.state, 'objects'), { recursive: true }));
  expect(explainStartFailure(error, places)).toContain(
    `cannot use the state folder ${places.state} (state)`,
  );
  const locked = Object.assign(new Error('lock'), { code: 'LEVEL_LOCKED' });
  const wrapped = new AggregateError([new Error('Database is not open', { cause: locked })]);
  expect(explainStartFailure(wrapped, places)).toContain('is in use by another debherd');
});

it('our own errors speak for themselves; what nobody foresaw stays unexplained', () => {
  expect(explainStartFailure(new HerdError('INTERNAL', 'bad\nluck'), places)).toBe('bad luck');
  expect(explainStartFailure(new TypeError('x is not a function'), places)).toBeUndefined();
});
