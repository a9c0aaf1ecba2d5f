import { Agent } from "node:http";

import { httpCall } from "../calls/http-call.ts";
import { closedLoop, type Due, openLoop } from "../calls/loops.ts";
import type { Plan, PlannedCall } from "./plan.ts";
import { Tally } from "./tally.ts";
import type { PlayTarget } from "./target.ts";

/** Open: each call when it is due. Closed: so many clients, each of which makes the next when its last was answered. */
export type PlayLoop =
  | { readonly kind: "open"; readonly mostInFlight: number }
  | { readonly kind: "closed"; readonly clients: number };

export interface Played {
  readonly tally: Tally;
  /** From the first moment to the end of the last reply. */
  readonly tookMs: number;
}

function* duesOf(calls: readonly PlannedCall[], begunMs: number): Generator<Due<PlannedCall>> {
  for (const call of calls) yield { dueMs: begunMs + call.dueMs, item: call };
}

/** Makes the calls of a plan. */
export const play = async ({ calls }: Plan, target: PlayTarget, loop: PlayLoop): Promise<Played> => {
  const agent = new Agent({ keepAlive: true });
  const begunMs = performance.now();
  const tally = new Tally(begunMs);
  let inFlight = 0;
  const send = async (call: PlannedCall, dueMs: number): Promise<void> => {
    const sentMs = performance.now();
    inFlight += 1;
    const at = call.function;
    const { host, port } = target;
    const isRight = (text: string): boolean => target.isRight(at, text);
    const outcome = await httpCall(
      { agent, host, port, path: target.path(at), body: target.body(call.runMs), isRight },
      dueMs,
    );
    inFlight -= 1;
    tally.add(outcome, sentMs);
  };
  try {
    if (loop.kind === "open")
      await openLoop(duesOf(calls, begunMs), async (call, dueMs) => {
        if (inFlight < loop.mostInFlight) await send(call, dueMs);
        else tally.skip(dueMs);
      });
    else await closedLoop(loop.clients, calls, (call) => send(call, performance.now()));
    return { tally, tookMs: performance.now() - begunMs };
  } finally {
    agent.destroy();
  }
};
