// One request to a peer, up to its whole JSON answer or to the begin of a piece stream.
import type { PiecePool } from '../../content/piece-pool.ts';
import { HerdError } from '../../errors.ts';
import { MiB } from '../../limits.ts';
import { PIECES_TYPE } from '../../wire/frames.ts';
import type { PeerClient } from '../../wire/peer-client.ts';
import type { Exchange, PeerRequest } from '../../wire/peer-exchange.ts';
import type { QuietGuard, QuietWatch } from '../../wire/quiet-watch.ts';
import { failure, HttpPieceStream } from './http-piece-stream.ts';

/** Of an answer that is no piece stream; a list of thousands of members fits. */
const JSON_BYTES_MAX = 4 * MiB;
/** Memory of a part of it besides its bytes, roughly: one byte may come at a time. */
const PART_BYTES = 100;

/** How long a peer may be silent, in ticks of the quiet watch. */
export interface Patience {
  /** From the request to the head of the answer. */
  readonly answerTicks: number;
  /** Of these: then it is looked whether the machine is still there. */
  readonly answerProbeTicks: number;
  /**
   * Without any byte. Not without a whole frame: on a link that many share, a piece may take longer
   * than this. Who gives too little is found by what its readers report (swarm/swarm.ts). Long,
   * since a stream that is cut costs a busy peer a handshake, and an owner's a second fetch.
   */
  readonly silenceTicks: number;
  /** Of these: then it is looked whether the machine is still there. */
  readonly silenceProbeTicks: number;
}

interface ExchangeDeps {
  readonly client: PeerClient;
  readonly pool: PiecePool;
  readonly watch: QuietWatch;
}

interface ExchangeOptions extends Patience {
  /** The peer's name, for errors. */
  readonly peer: string;
  readonly signal: AbortSignal;
  /** On a new connection, since those at hand are in doubt. */
  readonly fresh: boolean;
}

export type Answer =
  | { readonly kind: 'json'; readonly value: unknown }
  | { readonly kind: 'stream'; readonly stream: HttpPieceStream };

/**
 * Resolves with the whole JSON answer (404 is `undefined`), or as soon as a piece stream begins.
 * Rejects with a HerdError of the kind SOURCE_.
 */
export function exchange(
  deps: ExchangeDeps,
  request: PeerRequest,
  options: ExchangeOptions,
): Promise<Answer> {
  const { client, pool } = deps;
  const { peer, signal, fresh } = options;
  if (signal.aborted) return Promise.reject(unwanted());
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  let stream: HttpPieceStream | undefined;
  let status = 0;
  const json = new JsonText();
  let quiet: QuietGuard | undefined;
  const guard = silenceGuard(deps, peer, () => running);
  const onAbort = () => running.abort(unwanted());
  const settle = () => {
    quiet?.end();
    signal.removeEventListener('abort', onAbort);
  };
  const running: Exchange = client.request(
    request,
    {
      started() {
        quiet = guard(options.answerTicks, options.answerProbeTicks);
      },
      head(code, headers) {
        status = code;
        quiet?.end();
        quiet = guard(options.silenceTicks, options.silenceProbeTicks);
        if (headers.get('content-type') !== PIECES_TYPE) return;
        stream = new HttpPieceStream(pool, peer, running, settle);
        resolve({ kind: 'stream', stream });
      },
      data(bytes) {
        quiet?.beat();
        if (stream) return stream.push(bytes);
        if (!json.push(bytes)) running.abort(failure(peer, 'an answer without end'));
      },
      end() {
        settle();
        if (stream) return stream.finish();
        try {
          resolve(answerOf(status, json.parse(), peer));
        } catch (error) {
          reject(failure(peer, error));
        }
      },
      failed(error) {
        settle();
        if (stream) stream.fail(failure(peer, error));
        else reject(failure(peer, error));
      },
    },
    fresh,
  );
  signal.addEventListener('abort', onAbort, { once: true });
  return promise;
}

/** Before a daemon that is silent is given up, its machine is asked. */
function silenceGuard({ client, watch }: ExchangeDeps, peer: string, running: () => Exchange) {
  const silent = () => {
    // While we ourselves do not read, the peer cannot be heard.
    if (running().paused) return 'excused';
    running().abort(new HerdError('SOURCE_STALLED', `${peer} is silent`));
    return 'over';
  };
  const look = () => {
    if (!running().paused) client.probe();
  };
  return (ticks: number, afterTicks: number) => watch.guard(ticks, silent, { afterTicks, look });
}

/** An answer in JSON, as it comes in. */
class JsonText {
  readonly #chunks: Buffer[] = [];
  #size = 0;

  /** False when it is too long. */
  push(bytes: Buffer): boolean {
    this.#chunks.push(Buffer.from(bytes));
    this.#size += bytes.length + PART_BYTES;
    return this.#size <= JSON_BYTES_MAX;
  }

  parse(): unknown {
    const text = Buffer.concat(this.#chunks).toString();
    return text === '' ? undefined : JSON.parse(text);
  }
}

function answerOf(status: number, value: unknown, peer: string): Answer {
  if (status === 404) return { kind: 'json', value: undefined };
  if (status < 300) return { kind: 'json', value };
  const { message } = (value ?? {}) as { message?: unknown };
  throw new HerdError('SOURCE_FAILED', `${peer} answered ${status}: ${String(message ?? '')}`);
}

function unwanted(): HerdError {
  return new HerdError('SOURCE_FAILED', 'no longer wanted');
}
