import { expect, test, vi } from 'vitest';
import { HerdError } from '../../node/errors.ts';
import { LinkSurvey } from '../../node/links/link-survey.ts';
import { seededRandom } from '../../node/platform/random.ts';
import type { Hello, PeerAddress } from '../../node/transfer/peers.ts';
import { ManualClock } from '../fixtures/manual-clock.ts';
import { memberFixture } from '../fixtures/members.ts';

const settled = () => new Promise((resolve) => setTimeout(resolve, 1));

function fixture(answer: (n: number) => Promise<Hello>) {
  const clock = new ManualClock();
  const members = Array.from({ length: 20 }, (_, n) => memberFixture(n));
  const self = members[0]!;
  const asked: number[] = [];
  const surveyed: number[][] = [];
  const links = {
    tested: true,
    narrow: false,
    like: false,
    surveyed(rates: readonly number[]) {
      surveyed.push([...rates]);
      return this.like;
    },
  };
  const flights = { active: 1, passOn: vi.fn() };
  const hello = (peer: PeerAddress) => {
    const n = members.findIndex(({ id }) => id === peer.id);
    asked.push(n);
    return answer(n);
  };
  const blamed = (id: string) => (id === members[1]!.id ? ({} as never) : undefined);
  const fleet = { self, members: () => members, blamed };
  const random = seededRandom(7);
  const survey = new LinkSurvey({ clock, random, fleet, peers: { hello }, links, flights });
  return { clock, asked, surveyed, links, flights, survey };
}

test('asks five others of whom it thinks well, each time others', async () => {
  const { clock, asked, surveyed, survey } = fixture(async (n) => ({ link: n * 1e6 }));
  for (let time = 1; time <= 40; time++) {
    clock.advance(5_000);
    await settled();
    const five = asked.slice(-5);
    expect(asked.length).toBe(5 * time);
    expect(new Set(five).size).toBe(5);
    expect(surveyed.at(-1)).toEqual(five.map((n) => n * 1e6));
  }
  expect([...new Set(asked)].sort((a, b) => a - b)).toEqual(
    [...Array(18).keys()].map((n) => n + 2),
  );
  await survey.close();
  clock.advance(60_000);
  expect(asked.length).toBe(200);
});

test('not while nothing is on its way, or while little came', () => {
  const { clock, asked, links, flights } = fixture(async () => ({ link: 1e6 }));
  flights.active = 0;
  clock.advance(60_000);
  flights.active = 1;
  links.tested = false;
  clock.advance(60_000);
  expect(asked).toEqual([]);
});

test('who is like the others asks less often', async () => {
  const { clock, surveyed, links, flights } = fixture(async () => ({ link: 1e6 }));
  const after = async (turns: number) => {
    for (let turn = 0; turn < turns; turn++) {
      clock.advance(5_000);
      await settled();
    }
    return surveyed.length;
  };
  expect(await after(3)).toBe(3);
  links.like = true;
  expect(await after(5)).toBe(4);
  expect(await after(1)).toBe(5);
  flights.active = 0;
  expect(await after(1)).toBe(5);
  flights.active = 1;
  links.like = false;
  expect(await after(3)).toBe(8);
});

test('who fails, or says nothing of its link, does not count', async () => {
  let turn = 0;
  const { clock, surveyed } = fixture(async () => {
    if (turn++ === 0) throw new HerdError('SOURCE_FAILED', 'gone');
    return turn === 2 ? {} : { link: 1e6 };
  });
  clock.advance(5_000);
  await settled();
  expect(surveyed).toEqual([[1e6, 1e6, 1e6]]);
});

test('who finds its own link narrow lets others fetch', async () => {
  const { clock, links, flights } = fixture(async () => ({ link: 1e6 }));
  clock.advance(5_000);
  await settled();
  expect(flights.passOn).not.toHaveBeenCalled();
  links.narrow = true;
  clock.advance(5_000);
  await settled();
  expect(flights.passOn).toHaveBeenCalledOnce();
});
