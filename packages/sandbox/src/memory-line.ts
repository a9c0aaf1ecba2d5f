/** Somebody who waits for memory. */
export interface Wish {
  readonly memoryMb: number;
  /** How often someone who came later was served first. */
  readonly overtaken: number;
}

/**
 * Nobody is overtaken more often. One large wish then does not idle the memory that small ones could use meanwhile,
 * and a stream of small ones delays a large one by no more than the life of so many sandboxes.
 */
export const MOST_OVERTAKEN = 8;

/**
 * Who of a line is served next with `freeMb`: its place, or -1. The first whose wish fits, unless somebody before it
 * has been overtaken often enough: from then on what becomes free is kept for that one.
 */
export const nextInLine = (line: readonly Wish[], freeMb: number): number => {
  for (const [place, wish] of line.entries()) {
    if (wish.memoryMb <= freeMb) return place;
    if (wish.overtaken >= MOST_OVERTAKEN) return -1;
  }
  return -1;
};
