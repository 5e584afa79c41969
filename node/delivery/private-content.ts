// A request with credentials: fetched for its own client, never stored, never shared.
import { HerdError } from '../errors.ts';
import type { Counters } from '../metrics/counters.ts';
import type { Upstream, UpstreamResponse } from '../transfer/upstream.ts';
import type { Content, ContentRequest } from './delivery.ts';

interface PrivateDeps {
  readonly upstream: Upstream;
  readonly counters: Counters;
}

export async function privateContent(deps: PrivateDeps, request: ContentRequest): Promise<Content> {
  const first = await fetchPrivate(deps, request, 0);
  const { size, lastModified, contentType } = first;
  let unused: UpstreamResponse | undefined = first;
  return {
    ...(size === undefined ? {} : { size }),
    ...(lastModified === undefined ? {} : { lastModified }),
    ...(contentType === undefined ? {} : { contentType }),
    mustRestart: false,
    async *read(start, end) {
      const response = start === 0 && unused ? unused : await fetchPrivate(deps, request, start);
      unused = undefined;
      yield* between(response, start, end, deps.counters);
    },
    close() {
      void unused?.body[Symbol.asyncIterator]().return?.();
      unused = undefined;
    },
  };
}

async function fetchPrivate(
  { upstream, counters }: PrivateDeps,
  { url, authorization, signal, trace }: ContentRequest,
  from: number,
): Promise<UpstreamResponse> {
  counters.add('upstream.requests.unelected');
  const response = await upstream.fetch({
    url,
    from,
    immutable: false,
    signal,
    trace,
    ...(authorization === undefined ? {} : { authorization }),
  });
  if (response.status === 200) return response;
  const { status } = response;
  const code = status === 404 ? 'NOT_FOUND' : 'UPSTREAM_DENIED';
  throw new HerdError(code, `upstream answered ${status} for ${url}`, { status });
}

async function* between(
  response: UpstreamResponse,
  start: number,
  end: number | undefined,
  counters: Counters,
): AsyncGenerator<Buffer> {
  let at = response.from;
  for await (const chunk of response.body) {
    counters.add('received.bytes.upstream.unelected', chunk.length);
    const part = chunk.subarray(Math.max(0, start - at), end === undefined ? undefined : end - at);
    at += chunk.length;
    if (part.length > 0) yield part;
    if (end !== undefined && at >= end) return;
  }
}
