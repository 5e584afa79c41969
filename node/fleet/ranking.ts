// Who comes first for a key among the members of one view, seen by this node.
import type { Member } from '../../tracker/protocol.ts';
import { sharedProtocol } from '../wire/protocol.ts';
import type { Blames } from './blames.ts';
import type { RankOptions } from './fleet.ts';
import { RankTable } from './rendezvous.ts';

const ANY_HOST = '';

export class Ranking {
  readonly #blames: Blames;
  readonly #members: readonly Member[];
  // Tables by upstream host, built when first asked for.
  readonly #tables = new Map<string, RankTable>();

  /** `own`: the newest protocol that this node speaks. */
  constructor(members: readonly Member[], blames: Blames, own: number) {
    this.#blames = blames;
    this.#members = members.filter(
      ({ upstream, protocol }) => upstream && sharedProtocol(protocol, own) !== undefined,
    );
  }

  /** As `Fleet.rank`. */
  rank(key: string, options: RankOptions = {}): Member[] {
    const table = this.#tableFor(options.host ?? ANY_HOST);
    const limit = options.limit ?? table.members.length;
    const avoided = options.unbiased ? undefined : this.#blames.active();
    if (avoided === undefined || avoided.size === 0) return table.rank(key, limit);
    const ranked = table.rank(key, limit + avoided.size);
    const isAvoided = ({ id }: Member) => avoided.has(id);
    const last = ranked.filter(isAvoided);
    return [...ranked.filter((member) => !isAvoided(member)), ...last].slice(0, limit);
  }

  #tableFor(host: string): RankTable {
    const known = this.#tables.get(host);
    if (known) return known;
    const having = this.#members.filter(({ archives }) => archives.includes(host));
    // Nobody lists it: all may be asked, each decides for itself whether it goes there.
    const table =
      host === ANY_HOST || having.length > 0
        ? new RankTable(host === ANY_HOST ? this.#members : having)
        : this.#tableFor(ANY_HOST);
    this.#tables.set(host, table);
    return table;
  }
}
