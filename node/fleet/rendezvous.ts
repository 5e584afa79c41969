// Rendezvous hashing (Thaler and Ravishankar, 1998): every member scores every key, the highest
// score owns it. No messages; when a member goes, only its own keys move, each to its successor.
import type { Member } from '../../tracker/protocol.ts';

/** Members prepared for ranking; immutable, and may be shared between nodes of one process. */
export class RankTable {
  readonly members: readonly Member[];
  readonly #seeds: Uint32Array;

  constructor(members: readonly Member[]) {
    this.members = members;
    this.#seeds = new Uint32Array(members.length * 2);
    members.forEach((member, i) => {
      this.#seeds[2 * i] = hash32(member.id, 0x9747b28c);
      this.#seeds[2 * i + 1] = hash32(member.id, 0x5bd1e995);
    });
  }

  /** The `limit` highest members for `key`, the owner first. O(members), without sorting all. */
  rank(key: string, limit: number = this.members.length): Member[] {
    const count = Math.min(limit, this.members.length);
    if (count <= 0) return [];
    const scores = this.#scores(key);
    if (count > 8) return this.#sorted(scores, count);
    const best: number[] = [];
    for (let i = 0; i < scores.length; i++) {
      let at = best.length;
      while (at > 0 && scores[i]! > scores[best[at - 1]!]!) at--;
      if (at >= count) continue;
      best.splice(at, 0, i);
      if (best.length > count) best.pop();
    }
    return best.map((i) => this.members[i]!);
  }

  #sorted(scores: Float64Array, count: number): Member[] {
    const order = Array.from(scores, (_, i) => i);
    order.sort((a, b) => scores[b]! - scores[a]!);
    return order.slice(0, count).map((i) => this.members[i]!);
  }

  #scores(key: string): Float64Array {
    const high = hash32(key, 0x2545f491);
    const low = hash32(key, 0x6c62272e);
    const scores = new Float64Array(this.members.length);
    for (let i = 0; i < scores.length; i++) {
      const a = mix(this.#seeds[2 * i]! ^ high);
      const b = mix(this.#seeds[2 * i + 1]! + low + a);
      scores[i] = mix(a ^ (b << 1)) * 2 ** 21 + (b >>> 11);
    }
    return scores;
  }
}

// MurmurHash3's 32-bit finaliser.
function mix(value: number): number {
  let h = value | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

// FNV-1a over the characters, then finalised, as FNV alone mixes its last characters poorly.
function hash32(text: string, seed: number): number {
  let h = (0x811c9dc5 ^ seed) | 0;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  return mix(h);
}
