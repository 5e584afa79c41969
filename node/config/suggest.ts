// "Did you mean": the nearest of the words that would have been right.

/** Number of insertions, deletions and replacements between two words. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (const [i, letter] of [...a].entries()) {
    const next = [i + 1];
    for (let j = 0; j < b.length; j++) {
      const replaced = row[j]! + (letter === b[j] ? 0 : 1);
      next.push(Math.min(replaced, row[j + 1]! + 1, next[j]! + 1));
    }
    row = next;
  }
  return row[b.length]!;
}

/** `; did you mean "cache-max"?`, or nothing when no candidate is near. */
export function didYouMean(word: string, candidates: readonly string[], prefix = ''): string {
  const plain = word.toLowerCase().replaceAll('_', '-');
  const ranked = candidates
    .map((candidate) => ({ candidate, away: distance(plain, candidate) }))
    .sort((a, b) => a.away - b.away);
  const best = ranked[0];
  if (best === undefined || best.away > Math.max(2, Math.floor(plain.length / 3))) return '';
  return `; did you mean "${prefix}${best.candidate}"?`;
}
