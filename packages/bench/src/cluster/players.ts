import type { CallSource } from "./call-source.ts";
import type { Outcome, Window } from "./outcome.ts";

/** Makes one call; `dueMs` is when it should be sent, on the clock of `performance.now()`. Never rejects. */
export type Caller = (lambda: number, dueMs: number) => Promise<Outcome>;

/** How long calls are made: first to warm up, then measured. */
export interface CallTimes {
  readonly warmupMs: number;
  readonly measureMs: number;
  /** Called when the measured time begins, and when it is over. */
  readonly began: () => Promise<void>;
  readonly ended: () => Promise<void>;
}

export interface CallRun {
  readonly outcomes: readonly Outcome[];
  readonly window: Window;
}

/** A client that was refused comes again after this time. */
const REFUSED_MS = 100;

/** On the thread's clock, which may be a virtual one. */
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Tells both moments of the measured time, and what it was. */
const watch = async ({ warmupMs, measureMs, began, ended }: CallTimes): Promise<Window> => {
  await sleep(warmupMs);
  await began();
  const fromMs = performance.now();
  await sleep(measureMs);
  const toMs = performance.now();
  await ended();
  return { fromMs, toMs };
};

const play = async (
  times: CallTimes,
  callers: (isOver: () => boolean, outcomes: Outcome[]) => Promise<void>,
): Promise<CallRun> => {
  const outcomes: Outcome[] = [];
  let over = false;
  const calling = callers(() => over, outcomes);
  const window = await watch(times).finally(() => (over = true));
  await calling;
  return { outcomes, window };
};

/** So many clients, each of which calls again when it is answered. */
export const playClosed = (
  call: Caller,
  source: CallSource,
  clients: number,
  times: CallTimes,
): Promise<CallRun> =>
  play(times, async (isOver, outcomes) => {
    const client = async (): Promise<void> => {
      while (!isOver()) {
        const outcome = await call(source.next().lambda, performance.now());
        outcomes.push(outcome);
        if (outcome.status !== 200) await sleep(REFUSED_MS);
      }
    };
    await Promise.all(Array.from({ length: clients }, client));
  });

/**
 * So many calls a second, whether or not others are answered. A call's time counts from when it was due: if it could not be sent then, that
 * is part of what it waited.
 */
export const playOpen = (
  call: Caller,
  source: CallSource,
  perSec: number,
  times: CallTimes,
): Promise<CallRun> =>
  play(times, async (isOver, outcomes) => {
    const calls: Promise<unknown>[] = [];
    let dueMs = performance.now();
    while (!isOver()) {
      const { lambda, gap } = source.next();
      dueMs += (gap * 1_000) / perSec;
      const earlyMs = dueMs - performance.now();
      if (earlyMs > 0) await sleep(earlyMs);
      calls.push(call(lambda, dueMs).then((outcome) => outcomes.push(outcome)));
    }
    await Promise.all(calls);
  });
