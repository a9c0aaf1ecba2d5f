import { messageOf } from "@ol/common";

import type { Context } from "../cli/command.ts";
import type { ClusterPaths } from "../cluster/paths.ts";
import { escapeControls } from "../text.ts";
import { ask } from "../worker/http.ts";
import { readBalancerPlan } from "./plan.ts";
import { balancerState } from "./server.ts";

const PING_MS = 5000;

/** Whether a cluster's load balancer answers, and with what. */
export interface BalancerPing {
  readonly url: string;
  readonly ok: boolean;
  readonly answer: string;
}

/** Asks the cluster's load balancer for a sign of life; undefined if it has none. */
export const pingBalancer = async (
  paths: ClusterPaths,
  { signal }: Pick<Context, "signal">,
): Promise<BalancerPing | undefined> => {
  const plan = await readBalancerPlan(paths);
  if (plan === undefined) return undefined;
  const url = `${plan.url}/status`;
  // Whoever answers on its port then is somebody else.
  if (balancerState(paths) !== "running")
    return { url, ok: false, answer: "not running; npx ol-admin load-balancer starts it" };
  try {
    const { certificateFile } = plan;
    const reply = await ask(url, { deadlineMs: PING_MS, signal, certificateFile });
    const word = escapeControls(reply.body.toString("utf8").trim().slice(0, 100));
    const answer = `${word} [${reply.status} ${escapeControls(reply.statusText)}]`;
    return { url, ok: reply.status === 200, answer };
  } catch (error) {
    signal.throwIfAborted();
    return { url, ok: false, answer: `no answer [${escapeControls(messageOf(error))}]` };
  }
};
