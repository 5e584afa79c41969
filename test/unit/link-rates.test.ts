import { expect, test } from 'vitest';
import { MiB } from '../../node/limits.ts';
import { LinkRates } from '../../node/links/link-rates.ts';
import { ManualClock } from '../fixtures/manual-clock.ts';

function fixture() {
  const clock = new ManualClock();
  const links = new LinkRates({ clock });
  const carry = (seconds: number, bytesPerSecond: number) => {
    links.began();
    for (let second = 0; second < seconds; second++) {
      links.note(bytesPerSecond);
      clock.advance(1000);
    }
    links.ended();
  };
  const others = (...rates: number[]) => links.surveyed(rates);
  return { clock, links, carry, others };
}

test('the best is that of three seconds, and is forgotten after a minute', () => {
  const { clock, links, carry } = fixture();
  carry(1, 9 * MiB);
  expect(links.best).toBe(3 * MiB);
  carry(5, 2 * MiB);
  clock.advance(48_000);
  expect(links.best).toBe(Math.round((13 / 3) * MiB));
  clock.advance(60_000);
  expect(links.best).toBe(0);
});

test('there is room when far less comes in than came before', () => {
  const { links, carry } = fixture();
  expect(links.hasRoom).toBe(false);
  carry(5, 4 * MiB);
  expect(links.hasRoom).toBe(false);
  carry(4, 2 * MiB);
  expect(links.hasRoom).toBe(false);
  carry(4, MiB / 2);
  expect(links.hasRoom).toBe(true);
});

test('a link is narrow beside those of most others', () => {
  const { links, carry, others } = fixture();
  carry(3, MiB);
  others(6 * MiB, 6 * MiB);
  expect(links.narrow, 'two say little').toBe(false);
  others(6 * MiB, 6 * MiB, 5 * MiB);
  expect(links.narrow).toBe(true);
  others(6 * MiB, MiB, MiB);
  expect(links.narrow, 'one is fast').toBe(false);
});

test('at half of what most others carry there is no doubt', () => {
  const { carry, others } = fixture();
  carry(3, 3 * MiB);
  expect(others(6 * MiB, 6 * MiB), 'two say little').toBe(false);
  expect(others(9 * MiB, 6 * MiB, MiB)).toBe(true);
  expect(others(9 * MiB, 6.1 * MiB, MiB)).toBe(false);
});

test('what others said in another rollout says nothing', () => {
  const { clock, links, carry, others } = fixture();
  others(6 * MiB, 6 * MiB, 6 * MiB);
  clock.advance(40_000);
  carry(3, MiB);
  expect(links.narrow).toBe(false);
  others(6 * MiB, 6 * MiB, 6 * MiB);
  expect(links.narrow).toBe(true);
});

test('a link that had little to carry is not narrow', () => {
  const { links, carry, others } = fixture();
  others(6 * MiB, 6 * MiB, 6 * MiB);
  expect(links.narrow).toBe(false);
  carry(3, MiB / 4);
  expect(links.narrow).toBe(false);
  carry(2, MiB / 4);
  expect(links.narrow).toBe(true);
});

test('nor is one that has only begun to carry', () => {
  const { clock, links, carry, others } = fixture();
  others(6 * MiB, 6 * MiB, 6 * MiB);
  clock.advance(400);
  carry(2, 2 * MiB);
  expect(links.narrow).toBe(false);
  clock.advance(20_000);
  expect(links.narrow, 'nothing was to be carried').toBe(false);
  carry(1, 0);
  expect(links.narrow).toBe(true);
  clock.advance(60_000);
  expect(links.narrow, 'a minute later').toBe(false);
});

test('what upstream gives shows what a link can do, not what it cannot', () => {
  const { clock, links, carry, others } = fixture();
  others(6 * MiB, 6 * MiB, 6 * MiB);
  links.began();
  for (let second = 0; second < 5; second++) links.noteUpstream(MiB);
  links.ended();
  carry(5, 0.1 * MiB);
  expect(links.narrow).toBe(false);
  carry(5, 0.2 * MiB);
  expect(links.narrow).toBe(true);
  links.noteUpstream(6 * MiB);
  clock.advance(1_000);
  expect(links.narrow).toBe(false);
});
