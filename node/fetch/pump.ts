// Feeds a flight from one peer's stream, without any other source behind it.
import { HerdError } from '../errors.ts';
import type { Flight } from '../flight/flight.ts';
import type { Counters } from '../metrics/counters.ts';
import type { PieceStream } from '../transfer/peers.ts';

/** Ends when the flight is whole or failed; never throws. */
export async function pumpStream(
  flight: Flight,
  stream: PieceStream,
  counters: Counters,
): Promise<void> {
  try {
    for (let frame = await stream.next(); frame !== undefined; frame = await stream.next()) {
      if (frame.type === 'meta') flight.describe(frame.meta);
      else if (frame.type === 'end') await flight.end();
      else if (frame.type === 'fail') throw HerdError.from(frame.error);
      else if (frame.type === 'piece') {
        counters.add('received.bytes.peer', frame.bytes.length);
        await flight.append(frame.index, frame.bytes, frame.hash);
      }
    }
    if (flight.state === 'running') throw new HerdError('SOURCE_FAILED', 'the stream ended early');
  } catch (error) {
    await flight.fail(HerdError.of(error));
  } finally {
    stream.cancel();
  }
}
