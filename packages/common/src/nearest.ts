/** Edits (insert, delete, replace, swap of neighbours) that turn `a` into `b`. */
const editDistance = (a: string, b: string): number => {
  let beforePrevious: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const same = a[row - 1] === b[column - 1];
      let best = Math.min(
        (previous[column] as number) + 1,
        (current[column - 1] as number) + 1,
        (previous[column - 1] as number) + (same ? 0 : 1),
      );
      const swapped = row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1];
      if (swapped) best = Math.min(best, (beforePrevious[column - 2] as number) + 1);
      current.push(best);
    }
    beforePrevious = previous;
    previous = current;
  }
  return previous[b.length] as number;
};

const comparable = (word: string): string =>
  word
    .slice(0, 64)
    .toLowerCase()
    .replaceAll(/[^a-z0-9]/gu, "");

/**
 * The candidate that `word` was most likely meant to be, or undefined if none is close. Case, dashes and
 * underscores do not count, so `MemMB` finds `mem_mb`.
 */
export const nearest = (word: string, candidates: Iterable<string>): string | undefined => {
  const wanted = comparable(word);
  let best: string | undefined;
  // Two fifths of the word may be wrong: more than that suggests keys that have nothing to do with it.
  let bestDistance = Math.max(1, Math.floor(wanted.length * 0.4)) + 1;
  for (const candidate of candidates) {
    const distance = editDistance(wanted, comparable(candidate));
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best;
};
