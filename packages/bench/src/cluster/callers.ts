import { Agent } from "node:http";

import { httpCall } from "../calls/http-call.ts";
import type { CallSource } from "./call-source.ts";
import { replyOf } from "./lambdas.ts";
import { type Caller, type CallRun, type CallTimes, playClosed, playOpen } from "./players.ts";

/** Where calls go, and which. */
export interface CallTarget {
  readonly port: number;
  /** Of the lambdas, by their place. */
  readonly names: readonly string[];
  readonly source: CallSource;
}

const withCaller = async (
  { port, names }: CallTarget,
  play: (caller: Caller) => Promise<CallRun>,
): Promise<CallRun> => {
  const agent = new Agent({ keepAlive: true });
  try {
    return await play((lambda, dueMs) => {
      const name = names[lambda] as string;
      const isRight = (text: string): boolean => text === JSON.stringify(replyOf(name));
      return httpCall({ agent, host: "127.0.0.1", port, path: `/run/${name}`, body: "{}", isRight }, dueMs);
    });
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
