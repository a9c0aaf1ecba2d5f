import { Agent, type IncomingMessage, request } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";

import type { CallSource } from "./call-source.ts";
import { replyOf } from "./lambdas.ts";
import type { Outcome, Window } from "./outcome.ts";

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

/** Longer than a balancer or a worker lets anybody wait. */
const CALL_MS = 60_000;
/** A client that was refused comes again after this time. */
const REFUSED_MS = 100;
/** What a call's Server-Timing has only if it waited for a new sandbox. */
const COLD = /(?:^|, )(?:fork|import);/u;

const isCold = ({ headers }: IncomingMessage): boolean => COLD.test(String(headers["server-timing"] ?? ""));

const call = (agent: Agent, port: number, name: string, dueMs: number): Promise<Outcome> =>
  new Promise((resolve) => {
    const none = (): void => resolve({ dueMs, endMs: performance.now(), status: 0, cold: false });
    const headers = { "content-type": "application/json", "content-length": 2 };
    const options = { agent, host: "127.0.0.1", port, method: "POST", path: `/run/${name}`, headers };
    const sent = request({ ...options, timeout: CALL_MS }, (reply) => {
      let text = "";
      reply.setEncoding("utf8").on("data", (piece: string) => (text += piece));
      reply.once("error", none);
      reply.once("end", () => {
        const { statusCode: said = 0 } = reply;
        // Another lambda's reply is none.
        const status = said === 200 && text !== JSON.stringify(replyOf(name)) ? 0 : said;
        resolve({ dueMs, endMs: performance.now(), status, cold: isCold(reply) });
      });
    });
    sent.once("timeout", () => sent.destroy(new Error(`no reply within ${CALL_MS} ms`)));
    sent.once("error", none);
    sent.end("{}");
  });

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

/** So many clients, each of which calls again when it is answered. */
export const callClosed = (
  { port, names, source }: CallTarget,
  clients: number,
  times: CallTimes,
): Promise<CallRun> =>
  run(times, async (agent, isOver, outcomes) => {
    const client = async (): Promise<void> => {
      while (!isOver()) {
        const outcome = await call(agent, port, names[source.next().lambda] as string, performance.now());
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
export const callOpen = (
  { port, names, source }: CallTarget,
  perSec: number,
  times: CallTimes,
): Promise<CallRun> =>
  run(times, async (agent, isOver, outcomes) => {
    const calls: Promise<unknown>[] = [];
    let dueMs = performance.now();
    while (!isOver()) {
      const { lambda, gap } = source.next();
      dueMs += (gap * 1_000) / perSec;
      const earlyMs = dueMs - performance.now();
      if (earlyMs > 0) await sleep(earlyMs);
      const sent = call(agent, port, names[lambda] as string, dueMs);
      calls.push(sent.then((outcome) => outcomes.push(outcome)));
    }
    await Promise.all(calls);
  });
