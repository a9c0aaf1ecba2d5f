/** What the number of a function's instances is decided from. */
export interface ScaleSnapshot {
  /** Calls that wait. */
  readonly queued: number;
  /** Instances with a sandbox, ready or on its way. */
  readonly live: number;
  /** Those of them whose sandbox has not loaded the code yet. */
  readonly starting: number;
  /** Those whose call has run far longer than usual: nobody knows when they are free again. */
  readonly stuck: number;
  /** Instances this function may have. */
  readonly max: number;
  /** Calls that one instance runs at once. */
  readonly concurrency: number;
  /** Whether an instance's sandbox is destroyed after one call. */
  readonly oneShot: boolean;
  /** CPUs of this machine. */
  readonly cpus: number;
  /** Busy instances the worker could have besides those it has now. */
  readonly freeSlots: number;
  /** Recent mean run time of a call, undefined before the second call ended. */
  readonly meanRunMs: number | undefined;
  /** How many calls were measured for that, since the function was first heard of. */
  readonly runs: number;
  /** How long the oldest running call has run, counted from when its sandbox was ready; 0 if none runs. */
  readonly oldestRunMs: number;
  /** Recent mean time from asking for a sandbox until its code was loaded. */
  readonly meanStartMs: number;
  /** Of this moment; never goes back. */
  readonly nowMs: number;
}

/** Calls below this wait for nothing but a CPU. */
const QUICK_MS = 1;

/** Of fewer calls the mean says little. */
const FEW_RUNS = 8;

/** Recent run times of a function's calls, in ms. */
export interface RunTimes {
  readonly meanMs: number;
  /** Nineteen in twenty calls take no longer, more or less. */
  readonly tailMs: number;
}

/** From this age on a running call tells nothing of when its sandbox is free again. */
export const stuckAfterMs = (times: RunTimes | undefined, meanStartMs: number): number =>
  times === undefined ? Number.POSITIVE_INFINITY : Math.max(10 * times.meanMs, 2 * times.tailMs, meanStartMs);

/**
 * How many instances a function should have: no fewer than it has, and more only where a new one is ready before
 * those that live could have worked off the queue.
 *
 * Many first calls of a function at once start one sandbox: until it is ready nobody knows whether calls take 0.1 ms
 * or 10 s. From then on a running call's age is a lower bound of the run time, so that slow functions grow within
 * a few milliseconds and quick ones never do. More quick sandboxes than CPUs would only take turns: on 2 CPUs eight
 * of them did half the work of two. Where each call needs a sandbox of its own, each that waits gets one.
 */
export const desiredInstances = (s: ScaleSnapshot): number => {
  if (s.queued === 0) return s.live;
  // Sandboxes on their way take waiting calls each: never more new ones than calls left over.
  const unserved = Math.ceil((s.queued - s.starting * s.concurrency) / s.concurrency);
  if (s.oneShot) return s.live + Math.max(Math.min(unserved, s.freeSlots - s.starting, s.max - s.live), 0);
  if (s.live === 0 && s.meanRunMs === undefined) return 1;
  if (s.live === s.starting && s.starting > 0 && s.meanRunMs === undefined) return s.live;
  const runMs = s.live > s.stuck ? (s.meanRunMs ?? s.oldestRunMs) : Math.max(s.meanRunMs ?? 0, s.oldestRunMs);
  const quick = s.meanRunMs !== undefined && s.meanRunMs < QUICK_MS;
  const max = quick ? Math.min(s.max, s.cpus + s.stuck) : s.max;
  // With so many the queue is worked off in the time one of them needs to start.
  const useful = s.stuck + Math.ceil((s.queued * runMs) / (Math.max(s.meanStartMs, 1) * s.concurrency));
  const room = Math.min(unserved, s.freeSlots - s.starting, max - s.live);
  // How long the first calls take may be the machine's doing, and the next look is a few milliseconds away.
  const most = s.runs < FEW_RUNS ? Math.max(2 * s.live, 2) : Number.POSITIVE_INFINITY;
  const wanted = Math.min(useful, s.live + Math.max(room, 0), most);
  return Math.max(s.live, wanted, 1);
};

/** What is decided from how many idle instances are too many. */
export interface ShrinkSnapshot {
  /** How long each idle instance has been so, in ms, in any order. */
  readonly idleMs: readonly number[];
  /** Instances with a sandbox, the idle ones included. */
  readonly live: number;
  /** How many are kept whatever happens. */
  readonly min: number;
  /** For so long the others are kept. */
  readonly surplusMs: number;
  /** For so long the last one is kept. */
  readonly lastMs: number;
  /** Of this moment; never goes back. */
  readonly nowMs: number;
}

/**
 * How many instances to end, those that were idle longest. The one used last is always the next to be used, so one that was
 * not needed for a while was not needed at the worst moment of that while: a function that is called in bursts
 * keeps what its bursts need.
 */
export const surplusInstances = ({ idleMs, live, min, surplusMs, lastMs }: ShrinkSnapshot): number => {
  const old = (ms: number): number => idleMs.filter((idle) => idle >= ms).length;
  const surplus = Math.min(old(surplusMs), live - Math.max(min, 1));
  const last = Math.min(old(lastMs), live - min);
  return Math.max(surplus, last, 0);
};

/** What decides whether a sandbox may end for another function's, although its own has work for it. */
export interface KeepSnapshot {
  /** When it was had. */
  readonly sinceMs: number;
  /** How long making it took, and when it was made. */
  readonly makeMs: number;
  readonly madeMs: number;
  /** When its code was loaded; undefined: it is not. */
  readonly loadedMs: number | undefined;
  /** Whether it has answered a call. */
  readonly proven: boolean;
  readonly nowMs: number;
}

/** How long a sandbox works at least, and at most, before another function may have its memory. */
const LEAST_KEPT_MS = 100;
const MOST_KEPT_MS = 5_000;

/**
 * It may when it has answered, and has been there with its code loaded for as long as that took to make: that costs at most twice
 * what the best order would (ski rental, Karlin et al. 1988). Earlier, functions that wait would end each other's in turn, all of
 * them while they load.
 */
export const isPaidOff = ({ sinceMs, makeMs, madeMs, loadedMs, proven, nowMs }: KeepSnapshot): boolean => {
  if (loadedMs === undefined || !proven) return nowMs - sinceMs >= MOST_KEPT_MS;
  const keptMs = Math.min(Math.max(makeMs + loadedMs - madeMs, LEAST_KEPT_MS), MOST_KEPT_MS);
  return nowMs - Math.max(loadedMs, sinceMs) >= keptMs;
};

/** What decides whether a busy sandbox may be handed one more call. */
export interface PipelineSnapshot {
  /** Calls the sandbox has: the running one, and those that wait in it. */
  readonly inFlight: number;
  /** How many it takes at once. */
  readonly streams: number;
  /** How long the first of them has run. */
  readonly runningMs: number;
  /** Whether the sandbox has answered a call already. */
  readonly proven: boolean;
  readonly meanRunMs: number | undefined;
  /** Time since one of this function's sandboxes ended in mid-call; Infinity if none did. */
  readonly sinceCrashMs: number;
}

/** What waits when a sandbox crashes is run again, in another one: a function that crashes gets its calls one by one. */
const PIPELINE_AFTER_CRASH_MS = 10_000;

/** Calls that wait in a sandbox wait no longer than this, if they take as long as usual. */
const PIPELINE_MS = 1;

/**
 * Whether one more call may wait in a busy sandbox. It saves the guest the pause in which the worker reads a reply and
 * hands over the next call, and both of them most of the wake-ups: several calls, and several replies, are read at once.
 * A slower call would wait longer than that is worth, and behind one that takes unusually long nobody should wait.
 */
export const mayPipeline = (s: PipelineSnapshot): boolean =>
  s.inFlight < s.streams &&
  s.proven &&
  s.meanRunMs !== undefined &&
  s.meanRunMs < QUICK_MS &&
  s.inFlight <= Math.max(1, PIPELINE_MS / s.meanRunMs) &&
  s.runningMs < QUICK_MS &&
  s.sinceCrashMs >= PIPELINE_AFTER_CRASH_MS;

/**
 * Weight of the newest value. Run times are measured by a process that may be busy itself: one call in a hundred that
 * looks slow because of that must not make a quick function a slow one.
 */
const MEAN_WEIGHT = 1 / 32;

/**
 * The running mean after one more value; `count` is how many there were before it. The first ones weigh the same: the very
 * first, which is most likely to be unusual, would else be a third of the mean after thirty others.
 */
export const nextMean = (mean: number | undefined, value: number, count: number): number =>
  mean === undefined ? value : mean + (value - mean) * Math.max(1 / (count + 1), MEAN_WEIGHT);

const TAIL = 0.95;
const TAIL_STEP = 1 / 8;

/**
 * The 95th percentile's estimate after one more value: a step up for each value above it, a nineteenth of that down for
 * each below, so that it rests where one value in twenty is above (stochastic approximation, Robbins and Monro 1951).
 */
export const nextTail = (tail: number | undefined, value: number): number => {
  if (tail === undefined) return value;
  return value > tail ? tail * (1 + TAIL * TAIL_STEP) : tail * (1 - (1 - TAIL) * TAIL_STEP);
};

/** What decides whether one more call may wait. */
export interface QueueSnapshot {
  /** Calls of this function that wait, and how many may. */
  readonly own: number;
  readonly ownMax: number;
  /** Calls of all functions that wait, and how many may. */
  readonly all: number;
  readonly allMax: number;
}

/**
 * Why a call may not wait: the function's own limit, or the worker's. A function may hold as much as is left over to all
 * others, so that there is always room for one that has nothing waiting (dynamic thresholds, Choudhury and Hahne 1998).
 */
export const queueLimit = (s: QueueSnapshot): "function" | "worker" | undefined => {
  if (s.own >= s.ownMax) return "function";
  return s.own >= s.allMax - s.all ? "worker" : undefined;
};
