/** What decides whether one more call may wait. */
export interface QueueSnapshot {
  /** Calls of this function that wait. */
  readonly own: number;
  /** Calls of all functions that wait, and how many may. */
  readonly all: number;
  readonly most: number;
}

/**
 * Why a call may not wait: too many of all do, or of its function. One function may hold as much of the queue as it leaves
 * to all others, so that there is always room for one that has nothing waiting (dynamic thresholds, Choudhury and Hahne 1998).
 */
export const queueLimit = ({ own, all, most }: QueueSnapshot): "all" | "function" | undefined => {
  if (all >= most) return "all";
  return own >= most - all ? "function" : undefined;
};

/** What decides whether a call would have a place in time. */
export interface WaitSnapshot {
  /** Calls that have their turn before it. */
  readonly ahead: number;
  /** Calls that end in a ms; undefined while that is not known. */
  readonly perMs: number | undefined;
}

/** How long it would wait, in ms; 0 while nothing is known. */
export const expectedWaitMs = ({ ahead, perMs }: WaitSnapshot): number =>
  perMs === undefined ? 0 : ahead / perMs;
