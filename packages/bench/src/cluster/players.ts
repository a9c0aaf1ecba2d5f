import type { Outcome } from "../calls/http-call.ts";
import { closedLoop, type Due, openLoop, REFUSED_MS, sleep } from "../calls/loops.ts";
import type { CallSource } from "./call-source.ts";
import type { Window } from "./outcome.ts";

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

/** The lambdas that are called, one after the other, until it is over. */
function* lambdasUntil(source: CallSource, isOver: () => boolean): Generator<number> {
  while (!isOver()) yield source.next().lambda;
}

/** The same, each with the moment when it is due. */
function* duesUntil(source: CallSource, perSec: number, isOver: () => boolean): Generator<Due<number>> {
  let dueMs = performance.now();
  while (!isOver()) {
    const { lambda, gap } = source.next();
    dueMs += (gap * 1_000) / perSec;
    yield { dueMs, item: lambda };
  }
}

/** So many clients, each of which calls again when it is answered. */
export const playClosed = (
  call: Caller,
  source: CallSource,
  clients: number,
  times: CallTimes,
): Promise<CallRun> =>
  play(times, (isOver, outcomes) =>
    closedLoop(clients, lambdasUntil(source, isOver), async (lambda) => {
      const outcome = await call(lambda, performance.now());
      outcomes.push(outcome);
      if (outcome.status !== 200) await sleep(REFUSED_MS);
    }),
  );

/** So many calls a second, whether or not others are answered: see openLoop. */
export const playOpen = (
  call: Caller,
  source: CallSource,
  perSec: number,
  times: CallTimes,
): Promise<CallRun> =>
  play(times, (isOver, outcomes) =>
    openLoop(duesUntil(source, perSec, isOver), async (lambda, dueMs) => {
      outcomes.push(await call(lambda, dueMs));
    }),
  );
