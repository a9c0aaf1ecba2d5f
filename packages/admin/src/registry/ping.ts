import { messageOf } from "@ol/common";

import type { Arguments } from "../cli/arguments.ts";
import type { Context } from "../cli/command.ts";
import type { ClusterPaths } from "../cluster/paths.ts";
import { escapeControls } from "../text.ts";
import { ask } from "../worker/http.ts";
import { connectRegistry } from "./access.ts";
import { readRegistryPlan } from "./plan.ts";
import { registryState } from "./server.ts";

const PING_MS = 5000;

/** Whether a cluster's registry answers, and with what. */
export interface RegistryPing {
  readonly url: string;
  readonly ok: boolean;
  readonly answer: string;
}

const pingOwnRegistry = async (
  paths: ClusterPaths,
  url: string,
  { signal }: Context,
): Promise<Omit<RegistryPing, "url">> => {
  if (registryState(paths) !== "running")
    return { ok: false, answer: "not running; npx ol-admin registry starts it" };
  const reply = await ask(`${url}/status`, { deadlineMs: PING_MS, signal });
  const word = escapeControls(reply.body.toString("utf8").trim().slice(0, 100));
  return {
    ok: reply.status === 200,
    answer: `${word} [${reply.status} ${escapeControls(reply.statusText)}]`,
  };
};

/** Asks the cluster's registry for a sign of life; undefined if it is a directory. */
export const pingRegistry = async (
  args: Arguments,
  context: Context,
  paths: ClusterPaths,
): Promise<RegistryPing | undefined> => {
  const plan = await readRegistryPlan(paths);
  const client = await connectRegistry("read", args, context, paths);
  if (client === undefined) return undefined;
  await using _client = client;
  const isOwn = plan !== undefined && client.address === new URL(plan.url).origin;
  const url = isOwn ? `${client.address}/status` : client.address;
  try {
    if (isOwn && plan.url.startsWith("http:"))
      return { url, ...(await pingOwnRegistry(paths, client.address, context)) };
    await client.check(context.signal);
    return { url, ok: true, answer: "ready [it takes the keys]" };
  } catch (error) {
    context.signal.throwIfAborted();
    return { url, ok: false, answer: `no answer [${escapeControls(messageOf(error))}]` };
  }
};
