import { Agent } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";

import { httpCall, type Outcome } from "../calls/http-call.ts";
import { closedLoop, type Due, openLoop, REFUSED_MS } from "../calls/loops.ts";
import type { CallSource } from "./call-source.ts";
import { replyOf } from "./lambdas.ts";
import type { Window } from "./outcome.ts";

/** Where calls go, and which. */
export interface CallTarget {
  readonly port: number;
  /** Of the lambdas, by their place. */
  readonly names: readonly string[];
  readonly source: CallSource;
}

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

const call = (agent: Agent, port: number, name: string, dueMs: number): Promise<Outcome> => {
  const isRight = (text: string): boolean => text === JSON.stringify(replyOf(name));
  return httpCall({ agent, host: "127.0.0.1", port, path: `/run/${name}`, body: "{}", isRight }, dueMs);
};

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

const run = async (
  times: CallTimes,
  callers: (agent: Agent, isOver: () => boolean, outcomes: Outcome[]) => Promise<void>,
): Promise<CallRun> => {
  const agent = new Agent({ keepAlive: true });
  const outcomes: Outcome[] = [];
  let over = false;
  try {
    const calling = callers(agent, () => over, outcomes);
    const window = await watch(times).finally(() => (over = true));
    await calling;
    return { outcomes, window };
  } finally {
    agent.destroy();
  }
};

/** The names of the lambdas that are called, one after the other, until it is over. */
function* namesUntil({ names, source }: CallTarget, isOver: () => boolean): Generator<string> {
  while (!isOver()) yield names[source.next().lambda] as string;
}

/** The same, each with the moment when it is due. */
function* duesUntil(
  { names, source }: CallTarget,
  perSec: number,
  isOver: () => boolean,
): Generator<Due<string>> {
  let dueMs = performance.now();
  while (!isOver()) {
    const { lambda, gap } = source.next();
    dueMs += (gap * 1_000) / perSec;
    yield { dueMs, item: names[lambda] as string };
  }
}

/** So many clients, each of which calls again when it is answered. */
export const callClosed = (target: CallTarget, clients: number, times: CallTimes): Promise<CallRun> =>
  run(times, (agent, isOver, outcomes) =>
    closedLoop(clients, namesUntil(target, isOver), async (name) => {
      const outcome = await call(agent, target.port, name, performance.now());
      outcomes.push(outcome);
      if (outcome.status !== 200) await sleep(REFUSED_MS);
    }),
  );

/** So many calls a second, whether or not others are answered. */
export const callOpen = (target: CallTarget, perSec: number, times: CallTimes): Promise<CallRun> =>
  run(times, (agent, isOver, outcomes) =>
    openLoop(duesUntil(target, perSec, isOver), async (name, dueMs) => {
      outcomes.push(await call(agent, target.port, name, dueMs));
    }),
  );
