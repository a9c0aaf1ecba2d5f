import { Agent, type IncomingMessage, request } from "node:http";

import type { CallSource } from "./call-source.ts";
import { replyOf } from "./lambdas.ts";
import type { Outcome } from "./outcome.ts";
import { type Caller, type CallRun, type CallTimes, playClosed, playOpen } from "./players.ts";

/** Where calls go, and which. */
export interface CallTarget {
  readonly port: number;
  /** Of the lambdas, by their place. */
  readonly names: readonly string[];
  readonly source: CallSource;
}

/** Longer than a balancer or a worker lets anybody wait. */
const CALL_MS = 60_000;
/** What a call's Server-Timing has only if it waited for a new sandbox. */
const COLD = /(?:^|, )(?:fork|import);/u;
/** What it has of waiting: for a sandbox or its turn, and for memory. */
const WAITED = /(?:^|, )(?:queue|memory);dur=(?<ms>[0-9.]+)/gu;

/** What a reply says of how the call went. */
const timingOf = ({ headers }: IncomingMessage): Pick<Outcome, "cold" | "queueMs"> => {
  const timing = String(headers["server-timing"] ?? "");
  const waits = [...timing.matchAll(WAITED)].map(({ groups }) => Number(groups?.["ms"]));
  return { cold: COLD.test(timing), queueMs: waits.reduce((sum, ms) => sum + ms, 0) };
};

const call = (agent: Agent, port: number, name: string, dueMs: number): Promise<Outcome> =>
  new Promise((resolve) => {
    const none = (): void => resolve({ dueMs, endMs: performance.now(), status: 0, cold: false, queueMs: 0 });
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
        resolve({ dueMs, endMs: performance.now(), status, ...timingOf(reply) });
      });
    });
    sent.once("timeout", () => sent.destroy(new Error(`no reply within ${CALL_MS} ms`)));
    // A connection that breaks may tell so twice.
    sent.on("error", none);
    sent.end("{}");
  });

const withCaller = async (
  { port, names }: CallTarget,
  play: (caller: Caller) => Promise<CallRun>,
): Promise<CallRun> => {
  const agent = new Agent({ keepAlive: true });
  try {
    return await play((lambda, dueMs) => call(agent, port, names[lambda] as string, dueMs));
  } finally {
    agent.destroy();
  }
};

/** So many clients, each of which calls again when it is answered. */
export const callClosed = (target: CallTarget, clients: number, times: CallTimes): Promise<CallRun> =>
  withCaller(target, (caller) => playClosed(caller, target.source, clients, times));

/** So many calls a second, whether or not others are answered; see playOpen. */
export const callOpen = (target: CallTarget, perSec: number, times: CallTimes): Promise<CallRun> =>
  withCaller(target, (caller) => playOpen(caller, target.source, perSec, times));
