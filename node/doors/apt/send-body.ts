// Bytes to a client at the client's pace, in its turn among pipelined answers.
import type { ServerResponse } from 'node:http';
import { HerdError } from '../../errors.ts';

/**
 * Resolves when all earlier answers on the connection are written: node:http keeps in memory what
 * is written to an answer before its turn. Rejects with the signal's reason.
 */
export function turnOf(res: ServerResponse, signal: AbortSignal): Promise<void> | undefined {
  return res.socket === null ? eventOf(res, 'socket', signal) : undefined;
}

/**
 * Sends `length` bytes (all there are, when undefined) and ends the answer. `begin` is called
 * right before the first byte, so that until then an error can be answered properly; an empty
 * chunk stands for bytes that keep the client waiting, and sends the head by itself. Never sends
 * more or less than `length`: throws instead. When this settles, nobody needs the last chunk any
 * more: `signal` must not abort before the connection is closed.
 */
export async function sendBody(
  res: ServerResponse,
  chunks: AsyncIterable<Buffer>,
  length: number | undefined,
  signal: AbortSignal,
  begin: () => void,
): Promise<void> {
  let left = length ?? Number.POSITIVE_INFINITY;
  let begun = false;
  for await (const chunk of chunks) {
    if (signal.aborted) throw signal.reason;
    if (chunk.length === 0) {
      if (!begun) {
        begin();
        res.flushHeaders();
      }
      begun = true;
      continue;
    }
    if (chunk.length > left) throw new HerdError('INTERNAL', 'more bytes than announced');
    left -= chunk.length;
    if (!begun) begin();
    begun = true;
    if (left === 0) {
      await taken(signal, (done) => res.end(chunk, done));
      return;
    }
    await taken(signal, (done) => res.write(chunk, done));
  }
  if (length !== undefined && left > 0) {
    throw new HerdError('SOURCE_FAILED', `${left} bytes short of ${length}`);
  }
  if (!begun) begin();
  res.end();
}

/** Resolves when the socket is done with what is sent: its memory is used again afterwards. */
function taken(
  signal: AbortSignal,
  send: (done: (error?: Error | null) => void) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const aborted = () => reject(signal.reason);
    signal.addEventListener('abort', aborted, { once: true });
    send((error) => {
      signal.removeEventListener('abort', aborted);
      if (error) reject(error);
      else resolve();
    });
  });
}

function eventOf(res: ServerResponse, event: string, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(signal.reason);
      return;
    }
    const happened = () => {
      signal.removeEventListener('abort', aborted);
      resolve();
    };
    const aborted = () => {
      res.removeListener(event, happened);
      reject(signal.reason);
    };
    res.once(event, happened);
    signal.addEventListener('abort', aborted, { once: true });
  });
}
