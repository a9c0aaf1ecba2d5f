import { messageOf } from "@ol/common";

import { pingBalancer } from "../balancer/ping.ts";
import { CLUSTER_OPTION, type Command, type Context, JSON_OPTION } from "../cli/command.ts";
import { withProgress } from "../cli/progress.ts";
import { openCluster } from "../cluster/discover.ts";
import { errnoOf } from "../errors.ts";
import { pingRegistry } from "../registry/ping.ts";
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

/** A lambda whose newest code a worker does not use. */
interface FaultLine {
  readonly worker: string;
  readonly lambda: string;
  /** What its calls get instead. */
  readonly serving: "the code before" | "errors";
  /** The error in one line. */
  readonly fault: string;
}

/** A lambda whose packages a worker is installing. */
interface InstallingLine {
  readonly worker: string;
  readonly lambda: string;
  /** Calls that wait for it. */
  readonly waiting: number;
}

/** What a worker's /stats tells. */
interface Told {
  readonly sandboxes: readonly SandboxLine[];
  readonly faults: readonly FaultLine[];
  readonly installing: readonly InstallingLine[];
}

const NOTHING: Told = { sandboxes: [], faults: [], installing: [] };

interface Ping extends Told {
  readonly worker: string;
  readonly url: string;
  readonly ok: boolean;
  /** What stands behind the arrow. */
  readonly answer: string;
}

type Fields = Readonly<Record<string, unknown>>;

const text = (value: unknown): string => escapeControls(typeof value === "string" ? value : "?");
const number = (value: unknown): number => (typeof value === "number" && Number.isFinite(value) ? value : 0);

const fieldsOf = (value: unknown): Fields =>
  (typeof value === "object" && value !== null ? value : {}) as Fields;
const listOf = (value: unknown): readonly Fields[] => (Array.isArray(value) ? value.map(fieldsOf) : []);

/** What a worker of any version says of its sandboxes; what is missing is shown as unknown. */
export const sandboxesIn = (worker: string, stats: unknown): readonly SandboxLine[] => {
  const root = fieldsOf(stats);
  return listOf(root["sandboxes"]).map((one) => ({
    worker,
    engine: text(one["engine"] ?? root["engine"] ?? "sock"),
    id: text(one["id"]),
    lambda: text(one["lambda"]),
    state: text(one["state"]),
    ageMs: number(one["ageMs"]),
    memoryMb: number(one["memoryMb"]),
  }));
};

/** Python's last line is the one that says what went wrong; the rest is in the log. */
const lastLine = (message: string): string => message.trimEnd().split("\n").at(-1)?.trim() ?? "";

/** The lambdas whose newest code a worker does not use, and why. */
export const faultsIn = (worker: string, stats: unknown): readonly FaultLine[] =>
  listOf(fieldsOf(stats)["functions"]).flatMap(({ name, code, fault }) => {
    if (typeof fault !== "string") return [];
    const serving = code === "good" ? "the code before" : "errors";
    return [{ worker, lambda: text(name), serving, fault: text(lastLine(fault)) }];
  });

/** The lambdas whose packages a worker is installing. */
export const installingIn = (worker: string, stats: unknown): readonly InstallingLine[] =>
  listOf(fieldsOf(stats)["functions"]).flatMap(({ name, installing, queued }) =>
    installing === true ? [{ worker, lambda: text(name), waiting: number(queued) }] : [],
  );

const failureOf = (worker: Worker, error: unknown): string => {
  if (worker.state === "dead") return "dead [not running; npx ol-admin workers starts it again]";
  const cause = error instanceof AggregateError ? error.errors[0] : error;
  return errnoOf(cause) === "ECONNREFUSED"
    ? "no answer [connection refused]"
    : `no answer [${escapeControls(messageOf(cause))}]`;
};

const toldBy = async ({ name }: Worker, url: string, context: Context): Promise<Told> => {
  const reply = await ask(`${url}/stats`, { deadlineMs: PING_MS, signal: context.signal });
  if (reply.status !== 200) return NOTHING;
  const stats: unknown = JSON.parse(reply.body.toString("utf8"));
  return {
    sandboxes: sandboxesIn(name, stats),
    faults: faultsIn(name, stats),
    installing: installingIn(name, stats),
  };
};

const ping = async (worker: Worker, context: Context): Promise<Ping> => {
  let url = worker.name;
  const report = (ok: boolean, answer: string, told = NOTHING): Ping => ({
    worker: worker.name,
    url: `${url}/status`,
    ok,
    answer,
    ...told,
  });
  try {
    url = await urlOfConfig(worker.configFile);
    // Whoever answers on a dead worker's port is somebody else.
    if (worker.state === "dead") return report(false, failureOf(worker, undefined));
    const reply = await ask(`${url}/status`, { deadlineMs: PING_MS, signal: context.signal });
    const word = escapeControls(reply.body.toString("utf8").trim().slice(0, 100));
    const answer = `${word} [${reply.status} ${escapeControls(reply.statusText)}]`;
    if (reply.status !== 200) return report(false, answer);
    return report(true, answer, await toldBy(worker, url, context));
  } catch (error) {
    return report(false, failureOf(worker, error));
  }
};

const printPing = ({ output }: Context, title: string, ping: { url: string; answer: string }): void => {
  output.result(title);
  output.result(`  ${ping.url} => ${ping.answer}`);
  output.result("");
};

const printContainers = ({ output }: Context, sandboxes: readonly SandboxLine[]): void => {
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
};

/** Nothing is said where there is nothing to mend. */
const printFaults = ({ output }: Context, faults: readonly FaultLine[]): void => {
  if (faults.length === 0) return;
  output.result("");
  output.result("Lambdas whose newest code is not used (npx ol-admin logs NAME has more):");
  const rows = faults.map(({ worker, lambda, serving, fault }) => [
    worker,
    lambda,
    `serves ${serving}`,
    fault,
  ]);
  for (const line of table(rows)) output.result(`  ${line}`);
};

const printInstalling = ({ output }: Context, installing: readonly InstallingLine[]): void => {
  if (installing.length === 0) return;
  output.result("");
  output.result("Lambdas whose packages are being installed:");
  const rows = installing.map(({ worker, lambda, waiting }) => [worker, lambda, `${waiting} calls wait`]);
  for (const line of table(rows)) output.result(`  ${line}`);
};

export const statusCommand: Command = {
  name: "status",
  about:
    "ping the cluster's load balancer, registry and workers, list its sandboxes and what code they cannot use; exit 1 if anything does not answer",
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
    const registry = await withProgress(output, "asking the registry", pingRegistry(args, context, paths));
    const balancer = await withProgress(output, "asking the load balancer", pingBalancer(paths, context));
    const sandboxes = pings.flatMap((one) => one.sandboxes);
    const faults = pings.flatMap((one) => one.faults);
    const installing = pings.flatMap((one) => one.installing);
    if (args.flag("json")) {
      const workers = pings.map(({ worker, url, ok, answer }) => ({ worker, url, ok, answer }));
      output.json({
        ...(balancer !== undefined && { load_balancer: balancer }),
        ...(registry !== undefined && { registry }),
        workers,
        sandboxes,
        faults,
        installing,
      });
    } else {
      if (balancer !== undefined) printPing(context, "Load Balancer Ping:", balancer);
      if (registry !== undefined) printPing(context, "Registry Ping:", registry);
      output.result("Worker Pings:");
      for (const { url, answer } of pings) output.result(`  ${url} => ${answer}`);
      printContainers(context, sandboxes);
      printInstalling(context, installing);
      printFaults(context, faults);
    }
    if (pings.length === 0)
      output.message(
        `no worker was started; start one with: npx ol-admin workers ${clusterFlag(args, paths)}`,
      );
    return [...pings, balancer, registry].every((one) => one?.ok !== false) ? 0 : 1;
  },
};
