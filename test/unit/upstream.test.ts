import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../node/platform/clock.ts';
import { seededRandom } from '../../node/platform/random.ts';
import { UndiciUpstream } from '../../node/transfer/upstream/undici-upstream.ts';
import { createUpstreamGuard } from '../../node/transfer/upstream/upstream-guard.ts';
import { type Served, upstreamContract } from '../contract/upstream.contract.ts';
import { type FakeAnswer, FakeUpstream } from '../fixtures/fake-upstream.ts';
import { startUpstream } from '../fixtures/upstream.ts';

upstreamContract('UndiciUpstream', async () => {
  const root = await mkdtemp(join(tmpdir(), 'debherd-upstream-'));
  const server = await startUpstream({ root });
  const { url } = server;
  const upstream = new UndiciUpstream(
    {
      guard: createUpstreamGuard({ archives: () => [new URL(url).host] }, { allow: [] }),
      clock: systemClock,
      random: seededRandom(1),
    },
    { version: '1', backoffMs: 1, attemptsMax: 2 },
  );
  const path = '/a.deb';
  const serve = async (what: Served) => {
    if (what === 'silence') return server.fault(path, { kind: 'silence' });
    if ('status' in what) return server.fault(path, { kind: 'status', status: what.status });
    await writeFile(join(root, path), what.body);
    if (!('end' in what)) return undefined;
    const { after } = what;
    if (what.end === 'stall') return server.fault(path, { kind: 'stall', after });
    server.fault(path, { kind: 'truncate', after }, 1);
    return server.fault(path, { kind: 'refuse' });
  };
  const remove = async () => {
    await upstream.close();
    await server.close();
    await rm(root, { recursive: true });
  };
  return {
    ...{ upstream, serve, url: url + path, remove },
    asked: () => server.count(path).requests,
    underWay: () => server.underWay,
    leave: () => server.close(),
  };
});

const validators = { etag: '"1"', lastModified: 'Tue, 01 Jul 2025 10:00:00 GMT' };

function fakeAnswer(what: Served): FakeAnswer | Promise<FakeAnswer> {
  if (what === 'silence') return new Promise(() => {});
  if ('status' in what) return { status: what.status };
  const whole = { body: what.body, size: what.body.length, ...validators };
  if (!('end' in what)) return whole;
  const pace = async (at: number) => {
    if (at < what.after) return;
    if (what.end === 'break') throw new Error('closed early');
    await new Promise(() => {});
  };
  return { ...whole, chunkBytes: what.after, pace };
}

upstreamContract('FakeUpstream', async () => {
  let served: Served | undefined;
  const upstream = new FakeUpstream(() => {
    if (served !== undefined) return fakeAnswer(served);
    throw Object.assign(new Error('connect'), { code: 'ECONNREFUSED' });
  });
  return {
    ...{ upstream, url: 'http://mirror.example/a.deb', remove: () => upstream.close() },
    serve: async (what) => {
      served = what;
    },
    asked: () => upstream.requests.length,
    underWay: () => upstream.open,
    leave: async () => {
      served = undefined;
    },
  };
});
