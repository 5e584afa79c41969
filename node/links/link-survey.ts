// Asks a few members what their links carry, while others may have to wait for what comes through
// this one. Told along with what they want of this node it would be of the first seconds of a
// rollout, when no link has carried much.

import type { Fleet, Member } from '../fleet/fleet.ts';
import { type Clock, deadlineSignal, type Timer } from '../platform/clock.ts';
import type { Random } from '../platform/random.ts';
import type { Peers } from '../transfer/peers.ts';
import type { LinkRates } from './link-rates.ts';

const EVERY_MS = 5_000;
/** After a survey that left no doubt, so many turns pass without one. */
const REST_TURNS = 4;
/** Enough that a few odd ones are not the one in the middle. */
const ASKED = 5;
const ANSWER_MS = 2_000;

interface LinkSurveyDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly fleet: Pick<Fleet, 'self' | 'members' | 'blamed'>;
  readonly peers: Pick<Peers, 'hello'>;
  readonly links: Pick<LinkRates, 'tested' | 'surveyed' | 'narrow'>;
  readonly flights: {
    /** Under way. */
    readonly active: number;
    /** Lets others fetch what this node is fetching for them. */
    passOn(): void;
  };
}

export class LinkSurvey {
  readonly #deps: LinkSurveyDeps;
  readonly #timer: Timer;
  #rest = 0;

  constructor(deps: LinkSurveyDeps) {
    this.#deps = deps;
    this.#timer = deps.clock.every(EVERY_MS, () => this.#turn());
  }

  async close(): Promise<void> {
    this.#timer.cancel();
  }

  #turn(): void {
    const { links, flights } = this.#deps;
    if (flights.active === 0 || !links.tested) this.#rest = 0;
    else if (this.#rest > 0) this.#rest--;
    else void this.#ask();
  }

  async #ask(): Promise<void> {
    const { links, flights } = this.#deps;
    const rates = await Promise.all(this.#some().map((member) => this.#rateOf(member)));
    const like = links.surveyed(rates.filter((rate) => rate !== undefined));
    this.#rest = like ? REST_TURNS : 0;
    // What this node is fetching for others by now comes faster through another link.
    if (links.narrow) flights.passOn();
  }

  #some(): Member[] {
    const { fleet, random } = this.#deps;
    const others = fleet
      .members()
      .filter(({ id }) => id !== fleet.self.id && fleet.blamed(id) === undefined);
    const some: Member[] = [];
    while (some.length < ASKED && others.length > 0) {
      some.push(...others.splice(Math.floor(random.next() * others.length), 1));
    }
    return some;
  }

  async #rateOf(member: Member): Promise<number | undefined> {
    const { peers, clock } = this.#deps;
    const hello = await peers
      .hello(member, { signal: deadlineSignal(clock, ANSWER_MS) })
      .catch(() => undefined);
    return hello?.link;
  }
}
