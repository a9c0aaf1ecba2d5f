import { messageOf } from "@ol/common";

import { CLUSTER_OPTION, type Command, type Context, JSON_OPTION } from "../cli/command.ts";
import { withProgress } from "../cli/progress.ts";
import { openCluster } from "../cluster/discover.ts";
import { errnoOf } from "../errors.ts";
import { escapeControls, formatAge, table } from "../text.ts";
import { urlOfConfig } from "../worker/address.ts";
import { ask } from "../worker/http.ts";
import { type Worker, listWorkers } from "../worker/list.ts";
import { clusterFlag } from "./options.ts";

const PING_MS = 5000;

/** One sandbox, as a worker's /stats tells. */
interface SandboxLine {
  readonly worker: string;
  readonly engine: string;
  readonly id: string;
  readonly lambda: string;
  readonly state: string;
  readonly ageMs: number;
  readonly memoryMb: number;
}

interface Ping {
  readonly worker: string;
  readonly url: string;
  readonly ok: boolean;
  /** What stands behind the arrow. */
  readonly answer: string;
  readonly sandboxes: readonly SandboxLine[];
}

const text = (value: unknown): string => escapeControls(typeof value === "string" ? value : "?");
const number = (value: unknown): number => (typeof value === "number" && Number.isFinite(value) ? value : 0);

/** What a worker of any version says of its sandboxes; what is missing is shown as unknown. */
export const sandboxesIn = (worker: string, stats: unknown): readonly SandboxLine[] => {
  const root = (typeof stats === "object" && stats !== null ? stats : {}) as Record<string, unknown>;
  const list: unknown = root["sandboxes"];
  if (!Array.isArray(list)) return [];
  return list.map((item: unknown) => {
    const one = (typeof item === "object" && item !== null ? item : {}) as Record<string, unknown>;
    return {
      worker,
      engine: text(one["engine"] ?? root["engine"] ?? "sock"),
      id: text(one["id"]),
      lambda: text(one["lambda"]),
      state: text(one["state"]),
      ageMs: number(one["ageMs"]),
      memoryMb: number(one["memoryMb"]),
    };
  });
};

const failureOf = (worker: Worker, error: unknown): string => {
  if (worker.state === "dead") return "dead [not running; npx ol-admin workers starts it again]";
  const cause = error instanceof AggregateError ? error.errors[0] : error;
  return errnoOf(cause) === "ECONNREFUSED"
    ? "no answer [connection refused]"
    : `no answer [${escapeControls(messageOf(cause))}]`;
};

const sandboxesOf = async (
  worker: Worker,
  url: string,
  context: Context,
): Promise<readonly SandboxLine[]> => {
  const reply = await ask(`${url}/stats`, { deadlineMs: PING_MS, signal: context.signal });
  return reply.status === 200 ? sandboxesIn(worker.name, JSON.parse(reply.body.toString("utf8"))) : [];
};

const ping = async (worker: Worker, context: Context): Promise<Ping> => {
  let url = worker.name;
  const report = (ok: boolean, answer: string, sandboxes: readonly SandboxLine[] = []): Ping => ({
    worker: worker.name,
    url: `${url}/status`,
    ok,
    answer,
    sandboxes,
  });
  try {
    url = await urlOfConfig(worker.configFile);
    // Whoever answers on a dead worker's port is somebody else.
    if (worker.state === "dead") return report(false, failureOf(worker, undefined));
    const reply = await ask(`${url}/status`, { deadlineMs: PING_MS, signal: context.signal });
    const word = escapeControls(reply.body.toString("utf8").trim().slice(0, 100));
    const answer = `${word} [${reply.status} ${escapeControls(reply.statusText)}]`;
    if (reply.status !== 200) return report(false, answer);
    return report(true, answer, await sandboxesOf(worker, url, context));
  } catch (error) {
    return report(false, failureOf(worker, error));
  }
};

export const statusCommand: Command = {
  name: "status",
  about: "ping the cluster's workers and list its sandboxes; exit 1 if anything does not answer",
  options: { cluster: CLUSTER_OPTION, json: JSON_OPTION },
  async run(args, context) {
    const { paths } = await openCluster(args, context);
    const { output } = context;
    const started = listWorkers(paths).filter(({ state }) => state !== "stopped");
    const pings = await withProgress(
      output,
      "asking the workers",
      Promise.all(started.map((worker) => ping(worker, context))),
    );
    const sandboxes = pings.flatMap((one) => one.sandboxes);
    if (args.flag("json")) {
      const workers = pings.map(({ worker, url, ok, answer }) => ({ worker, url, ok, answer }));
      output.json({ workers, sandboxes });
    } else {
      output.result("Worker Pings:");
      for (const { url, answer } of pings) output.result(`  ${url} => ${answer}`);
      output.result("");
      output.result("Cluster containers:");
      const rows = sandboxes.map((one) => [
        one.engine,
        one.id,
        one.lambda,
        one.state,
        formatAge(one.ageMs),
        `${Math.round(one.memoryMb)}MB`,
      ]);
      for (const line of table(rows)) output.result(`  ${line}`);
    }
    if (pings.length === 0)
      output.message(
        `no worker was started; start one with: npx ol-admin workers ${clusterFlag(args, paths)}`,
      );
    return pings.every(({ ok }) => ok) ? 0 : 1;
  },
};
