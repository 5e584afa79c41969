// Upstream as a source of bytes: the body of an answer, cut into pieces.
import type { PiecePool } from '../../content/piece-pool.ts';
import { HerdError } from '../../errors.ts';
import { PIECE_BYTES } from '../../limits.ts';
import type { Call } from '../../metrics/ways.ts';
import type { PieceRange, Source, SourceFrame, SourceStream, Wanted } from '../source.ts';
import type { Upstream, UpstreamResponse } from '../upstream.ts';
import { PieceAssembler } from './piece-assembler.ts';

interface UpstreamSourceDeps {
  readonly upstream: Upstream;
  readonly pool: PiecePool;
  /** So many bytes came in, whatever becomes of them. */
  received(bytes: number): void;
}

export class UpstreamSource implements Source {
  readonly origin: { readonly kind: 'upstream'; readonly elected: boolean };
  readonly supports = { resume: true };
  readonly #deps: UpstreamSourceDeps;

  constructor(deps: UpstreamSourceDeps, { elected }: { readonly elected: boolean }) {
    this.#deps = deps;
    this.origin = { kind: 'upstream', elected };
  }

  /** For files whose bytes never change; `range.to` is left to the reader. */
  async open({ url }: Wanted, { from }: PieceRange, call: Call): Promise<SourceStream> {
    const { signal, trace } = call;
    const response = await this.#deps.upstream.fetch({
      url,
      from: from * PIECE_BYTES,
      immutable: true,
      signal,
      trace,
    });
    if (response.status !== 200) throw refusal(url, response.status);
    return this.answered(response, from);
  }

  /** The body of an answer that is there already, from piece `from` on. */
  answered(response: UpstreamResponse, from: number): SourceStream {
    return new UpstreamStream(this.#deps, response, from);
  }
}

class UpstreamStream implements SourceStream {
  readonly #deps: UpstreamSourceDeps;
  readonly #response: UpstreamResponse;
  readonly #frames: AsyncGenerator<SourceFrame, undefined>;
  #left = false;

  constructor(deps: UpstreamSourceDeps, response: UpstreamResponse, from: number) {
    this.#deps = deps;
    this.#response = response;
    this.#frames = this.#read(from);
  }

  async next(): Promise<SourceFrame | undefined> {
    return (await this.#frames.next()).value;
  }

  /** Lets go of the connection, also while `next` waits. */
  cancel(): void {
    this.#left = true;
    void this.#response.body[Symbol.asyncIterator]().return?.();
  }

  done(): void {
    this.cancel();
  }

  async *#read(from: number): AsyncGenerator<SourceFrame, undefined> {
    const { size, lastModified, contentType, body } = this.#response;
    const meta = {
      ...(size === undefined ? {} : { size }),
      ...(lastModified === undefined ? {} : { lastModified }),
      ...(contentType === undefined ? {} : { contentType }),
    };
    yield { type: 'meta', meta };
    // It may begin earlier than it was asked to.
    const assembler = new PieceAssembler(this.#deps.pool, from * PIECE_BYTES - this.#response.from);
    let index = from;
    for await (const chunk of body) {
      this.#deps.received(chunk.length);
      for (const bytes of assembler.push(chunk)) yield { type: 'piece', index: index++, bytes };
    }
    // What came so far is not all there is.
    if (this.#left) return undefined;
    const rest = assembler.rest();
    if (rest) yield { type: 'piece', index: index++, bytes: rest };
    yield { type: 'end', pieces: index };
    return undefined;
  }
}

/** An answer that is not the file. */
export function refusal(url: string, status: number): HerdError {
  const message = `upstream answered ${status} for ${url}`;
  if (status === 404 || status === 410) return new HerdError('NOT_FOUND', message, { status });
  const denied = status === 401 || status === 403;
  return new HerdError(denied ? 'UPSTREAM_DENIED' : 'UPSTREAM_ERROR', message, {
    ...(denied ? { status } : {}),
  });
}
