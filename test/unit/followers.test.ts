import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { Followers, HEARTBEAT_MS } from '../../tracker/followers.ts';
import { MemberTable } from '../../tracker/member-table.ts';
import type { MemberChange } from '../../tracker/protocol.ts';
import { ManualClock } from '../fixtures/manual-clock.ts';
import { memberFixture, vitalsFixture } from '../fixtures/members.ts';

function fixture() {
  const clock = new ManualClock();
  const table = new MemberTable({ tracker: 't', firstView: 100 });
  const followers = new Followers({ table, clock });
  const join = (n: number) => {
    if (table.announce(memberFixture(n), vitalsFixture, 0)) followers.changed();
    const stream = new PassThrough();
    followers.add(stream);
    return stream;
  };
  return { clock, followers, join };
}

function read(stream: PassThrough): MemberChange[] {
  const text = String(stream.read() ?? '');
  return text
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as MemberChange);
}

describe('Followers', () => {
  it('tells the first of sixty that join and follow at one moment of all others at once', () => {
    const { clock, join } = fixture();
    const streams = Array.from({ length: 60 }, (_, n) => join(n));
    clock.advance(50);
    const changes = read(streams[0]!);
    expect(changes.map(({ full, view }) => [full, view])).toEqual([
      [true, 100],
      [false, 101],
    ]);
    expect(changes[1]!.joined).toHaveLength(60);
    expect(read(streams[59]!)[0]!.joined).toHaveLength(60);
  });

  it('sends an empty line now and then', () => {
    const { clock, join } = fixture();
    const stream = join(1);
    clock.advance(50);
    stream.read();
    clock.advance(HEARTBEAT_MS);
    expect(String(stream.read())).toBe('\n');
  });

  it('ends a stream that is not read, and none that is', () => {
    const { clock, followers, join } = fixture();
    const [slow, quick] = [join(1), join(2)];
    quick.resume();
    for (let n = 0; n < 40; n++) {
      const archives = Array.from({ length: 1000 }, (_, i) =>
        `${n}-${i}.archive.example`.repeat(2),
      );
      slow.write(JSON.stringify(archives));
    }
    followers.changed();
    clock.advance(HEARTBEAT_MS);
    expect([slow.destroyed, quick.destroyed]).toEqual([true, false]);
    followers.close();
    expect(quick.destroyed).toBe(true);
    expect(clock.pending).toBe(0);
  });
});
