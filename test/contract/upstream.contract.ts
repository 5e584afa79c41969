// What every upstream must do. Called with a way to make one and what it fetches from.
import { afterEach, describe, expect, it, vi } from 'vitest';
import { digestOf } from '../../node/content/digest.ts';
import type { Step } from '../../node/metrics/ways.ts';
import { seededRandom } from '../../node/platform/random.ts';
import type { Upstream, UpstreamRequest } from '../../node/transfer/upstream.ts';

/** What upstream does when it is asked for a path. */
export type Served =
  | { readonly body: Buffer }
  /** The bytes before `after`, then nothing more; or the connection breaks, again and again. */
  | { readonly body: Buffer; readonly after: number; readonly end: 'stall' | 'break' }
  | { readonly status: number }
  /** Not even a status. */
  | 'silence';

export interface UpstreamFixture {
  readonly upstream: Upstream;
  /** From now on that is at the one URL that there is. */
  serve(what: Served): Promise<void>;
  readonly url: string;
  /** Requests that came. */
  asked(): number;
  /** Answers that are neither given to their end nor ended. */
  underWay(): number;
  /** Nobody listens there any more. */
  leave(): Promise<void>;
  readonly remove: () => Promise<void>;
}

const body = seededRandom(1).bytes(300_000);

async function read(chunks: AsyncIterable<Buffer>): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const chunk of chunks) parts.push(Buffer.from(chunk));
  return Buffer.concat(parts);
}

export function upstreamContract(name: string, make: () => Promise<UpstreamFixture>): void {
  const made: UpstreamFixture[] = [];
  afterEach(async () => {
    for (const { remove } of made.splice(0)) await remove();
  });
  const fixture = async (served: Served = { body }) => {
    const fresh = await make();
    made.push(fresh);
    await fresh.serve(served);
    const get = (request: Partial<UpstreamRequest> = {}) =>
      fresh.upstream.fetch({ url: fresh.url, immutable: true, ...request });
    const idle = () => vi.waitFor(() => expect(fresh.underWay()).toBe(0));
    return { ...fresh, get, idle };
  };

  describe(`${name} answers`, () => {
    it('with the bytes, their size and their validators', async () => {
      const { get, idle } = await fixture();
      const { body: chunks, ...head } = await get();
      expect(head).toMatchObject({ status: 200, from: 0, size: body.length });
      expect([typeof head.etag, typeof head.lastModified]).toEqual(['string', 'string']);
      expect(digestOf(await read(chunks))).toBe(digestOf(body));
      await idle();
    });

    it('and tells it on the way of the request', async () => {
      const { get, url } = await fixture();
      const steps: Step[] = [];
      const { body: chunks } = await get({ trace: { id: 'r1', note: (step) => steps.push(step) } });
      await read(chunks);
      const { host } = new URL(url);
      const tookMs = expect.any(Number);
      expect(steps).toEqual([{ what: 'upstream', host, status: 200, tookMs }]);
    });

    it('with nothing, where a file is empty', async () => {
      const { get } = await fixture({ body: Buffer.alloc(0) });
      const { body: chunks, ...head } = await get();
      expect(head).toMatchObject({ status: 200, from: 0, size: 0 });
      expect(await read(chunks)).toHaveLength(0);
    });

    it.each([401, 403, 404, 410])('with an error of its own, without bytes: %i', async (status) => {
      const { get, idle } = await fixture({ status });
      const { body: chunks, ...head } = await get({ from: 1000 });
      expect(head).toMatchObject({ status, from: 0 });
      expect(head.size).toBeUndefined();
      expect(await read(chunks)).toHaveLength(0);
      await idle();
    });

    it('from where it is asked to, if the bytes never change', async () => {
      const { get } = await fixture();
      const { body: chunks, ...head } = await get({ from: 200_000 });
      expect(head).toMatchObject({ status: 200, from: 200_000, size: body.length });
      expect(digestOf(await read(chunks))).toBe(digestOf(body.subarray(200_000)));
    });

    it.each([
      ['may have changed', { immutable: false, from: 200_000 }],
      ['end there', { from: body.length }],
      ['end before', { from: body.length + 1 }],
    ])('from the start, if the bytes %s', async (_why, request) => {
      const { get } = await fixture();
      const { body: chunks, ...head } = await get(request);
      expect(head).toMatchObject({ status: 200, from: 0, size: body.length });
      expect(digestOf(await read(chunks))).toBe(digestOf(body));
    });

    it('304 to who has it, by either validator, and the bytes to who has another', async () => {
      const { get, idle } = await fixture();
      const { body: first, etag, lastModified } = await get({ immutable: false });
      await read(first);
      for (const condition of [{ ifNoneMatch: etag! }, { ifModifiedSince: lastModified! }]) {
        const { body: chunks, ...head } = await get({ immutable: false, ...condition });
        expect(head).toMatchObject({ status: 304, from: 0, etag });
        expect(head.size).toBeUndefined();
        expect(await read(chunks)).toHaveLength(0);
      }
      const other = await get({ immutable: false, ifNoneMatch: '"other"' });
      expect(other.status).toBe(200);
      expect(digestOf(await read(other.body))).toBe(digestOf(body));
      await idle();
    });
  });

  describe(`${name} fails`, () => {
    it.each([429, 500, 503])('with UPSTREAM_ERROR, if %i stays the answer', async (status) => {
      const { get } = await fixture({ status });
      await expect(get()).rejects.toMatchObject({ name: 'HerdError', code: 'UPSTREAM_ERROR' });
    });

    it('with UPSTREAM_UNREACHABLE, if nobody listens', async () => {
      const { get, leave } = await fixture();
      await leave();
      await expect(get()).rejects.toMatchObject({ code: 'UPSTREAM_UNREACHABLE' });
    });

    it('with UPSTREAM_ERROR, if the bytes end too early and no more can be had', async () => {
      const { get, idle } = await fixture({ body, after: 100_000, end: 'break' });
      const { body: chunks } = await get();
      await expect(read(chunks)).rejects.toMatchObject({ code: 'UPSTREAM_ERROR' });
      expect(await chunks[Symbol.asyncIterator]().next()).toMatchObject({ done: true });
      await idle();
    });

    it('once it is closed', async () => {
      const { get, upstream, asked } = await fixture();
      await upstream.close();
      await expect(get()).rejects.toMatchObject({ name: 'HerdError', code: 'UPSTREAM_ERROR' });
      expect(asked()).toBe(0);
    });
  });

  describe(`${name} ends with the reason of the signal`, () => {
    const reason = new Error('nobody waits for it');

    it('before it asks', async () => {
      const { get, asked } = await fixture();
      await expect(get({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
      expect(asked()).toBe(0);
    });

    it('while it waits for an answer', async () => {
      const { get, asked, idle } = await fixture('silence');
      const controller = new AbortController();
      const getting = get({ signal: controller.signal });
      getting.catch(() => {});
      await vi.waitFor(() => expect(asked()).toBe(1));
      controller.abort(reason);
      await expect(getting).rejects.toBe(reason);
      await idle();
    });

    it('while it waits for bytes, and between them', async () => {
      const { get, idle } = await fixture({ body, after: 100_000, end: 'stall' });
      for (const waiting of [true, false]) {
        const controller = new AbortController();
        const chunks = (await get({ signal: controller.signal })).body[Symbol.asyncIterator]();
        let got = 0;
        while (got < 100_000) got += (await chunks.next()).value.length;
        const reading = waiting ? chunks.next() : undefined;
        reading?.catch(() => {});
        controller.abort(reason);
        await expect(reading ?? chunks.next()).rejects.toBe(reason);
        await idle();
      }
    });
  });

  describe(`a body of ${name}`, () => {
    it.each([0, 1])('ends when its reader does, after %i reads, and frees its place', async (n) => {
      const { get, underWay, idle } = await fixture({ body, after: 100_000, end: 'stall' });
      const chunks = (await get()).body[Symbol.asyncIterator]();
      for (let reads = 0; reads < n; reads++) await chunks.next();
      expect(underWay()).toBe(1);
      await chunks.return?.();
      expect(await chunks.next()).toMatchObject({ done: true });
      await idle();
    });

    it('ends when its reader does while it waits, and nothing more is asked', async () => {
      const { get, asked, idle } = await fixture({ body, after: 100_000, end: 'stall' });
      const chunks = (await get()).body[Symbol.asyncIterator]();
      for (let got = 0; got < 100_000; ) got += (await chunks.next()).value.length;
      const reading = chunks.next();
      await chunks.return?.();
      expect(await reading).toMatchObject({ done: true });
      await idle();
      expect(asked()).toBe(1);
    });

    it('ends once', async () => {
      const { get, idle } = await fixture();
      const chunks = (await get()).body[Symbol.asyncIterator]();
      while (!(await chunks.next()).done);
      await chunks.return?.();
      expect(await chunks.next()).toMatchObject({ done: true });
      await idle();
    });
  });
}
