import { messageOf } from "@ol/common";
import { readJsonObject, validateTemplate, type WorkerTemplate } from "@ol/config";

import type { Arguments } from "../cli/arguments.ts";
import { CLUSTER_OPTION, type Command, type Context } from "../cli/command.ts";
import { withProgress } from "../cli/progress.ts";
import { openCluster } from "../cluster/discover.ts";
import { adminError } from "../errors.ts";
import { isPortFree, portHolder } from "../process/port.ts";
import { readRegistryPlan } from "../registry/plan.ts";
import { registryState } from "../registry/server.ts";
import { escapeControls } from "../text.ts";
import { type Worker, listWorkers } from "../worker/list.ts";
import { type Start, planStarts } from "../worker/plan.ts";
import { type Ground, replaceOne, startOne } from "../worker/start.ts";
import { clusterFlag, lockFor } from "./options.ts";

const MOST_WORKERS = 1000;
const DEFAULT_PORT = 8080;
const LOOPBACK = ["127.0.0.1", "::1"];

const addressesOf = (template: WorkerTemplate): readonly string[] => {
  const url = template.worker_url ?? "localhost";
  return url === "localhost" ? LOOPBACK : [url.replace(/^\[(?<inside>.*)\]$/u, "$<inside>")];
};

/** Ports of the workers that have one: their files may be missing, or a person's half-finished work. */
const configuredPorts = async (workers: readonly Worker[]): Promise<Map<number, number>> => {
  const ports = new Map<number, number>();
  for (const worker of workers) {
    if (worker.state === "stopped" || !worker.configured) continue;
    const { worker_port: port } = validateTemplate(
      await readJsonObject(worker.configFile),
      worker.configFile,
    );
    ports.set(worker.index, Number(port ?? DEFAULT_PORT));
  }
  return ports;
};

const assertPortFree = async (template: WorkerTemplate, port: number): Promise<void> => {
  if (await isPortFree(addressesOf(template), port)) return;
  const holder = portHolder(port) ?? "another process";
  throw adminError(
    "OL_ADMIN_PORT_IN_USE",
    `port ${port} is in use by ${holder}; stop it, or take another with --port`,
  );
};

/** Starts all at once; those that are ready stay even if another fails. */
const startAll = async (ground: Ground, starts: readonly Start[]): Promise<number> => {
  const { output } = ground.context;
  for (const { port } of starts) await assertPortFree(ground.template, port);
  const names = starts.map(({ index }) => `worker-${index}`).join(", ");
  const all = Promise.allSettled(starts.map((start) => startOne(ground, start)));
  const outcomes = await withProgress(output, `starting ${names}`, all);
  let code = 0;
  for (const [at, outcome] of outcomes.entries()) {
    if (outcome.status === "fulfilled")
      output.result(`worker-${starts[at]?.index} ready at ${outcome.value}`);
    else {
      output.message(messageOf(outcome.reason).split("\n").map(escapeControls).join("\n"));
      code = 1;
    }
  }
  return code;
};

/**
 * Replaces the running workers one after the other, each when its calls are done. Ends with the first one that cannot be:
 * what keeps one from starting would keep the others, too.
 */
const restartAll = async (
  ground: Ground,
  running: readonly Worker[],
  ports: ReadonlyMap<number, number>,
): Promise<void> => {
  const { output } = ground.context;
  for (const worker of running) {
    const port = ports.get(worker.index);
    if (port === undefined) continue;
    const url = await withProgress(output, `replacing ${worker.name}`, replaceOne(ground, worker, port));
    output.result(`${worker.name} ready at ${url}`);
  }
};

const workers = async (args: Arguments, context: Context): Promise<number> => {
  const asked = args.wholeNumber("num-workers", 1, MOST_WORKERS);
  const port = args.wholeNumber("port", 1, 65_535);
  const cluster = await openCluster(args, context);
  await using _lock = await lockFor(cluster, "workers", context);
  const template = validateTemplate(await readJsonObject(cluster.paths.template), cluster.paths.template);
  const known = listWorkers(cluster.paths);
  const ports = await configuredPorts(known);
  const running = known.filter(({ state }) => state === "running");
  const restart = args.flag("restart");
  const defaultPort = Number(template.worker_port ?? DEFAULT_PORT) || DEFAULT_PORT;
  // A restart without a number starts nothing new, only what died.
  const count = asked ?? (restart && running.length > 0 ? 0 : 1);
  const starts = planStarts({ workers: known, ports, count, port, defaultPort });
  const total = Math.max(cluster.identity.plan.workers, running.length + starts.length);
  const ground: Ground = { cluster, template, context, total };
  if (restart) await restartAll(ground, running, ports);
  const code = await startAll(ground, starts);
  if ((await readRegistryPlan(cluster.paths)) !== undefined && registryState(cluster.paths) !== "running")
    context.output.message(
      `the cluster's registry does not run; until it does, workers have only the code they know: npx ol-admin registry ${clusterFlag(args, cluster.paths)}`,
    );
  if (code === 0)
    context.output.message(
      `they run on in the background; stop them with: npx ol-admin kill ${clusterFlag(args, cluster.paths)}`,
    );
  return code;
};

export const workersCommand: Command = {
  name: "workers",
  about: "start workers in the background; restart those that died",
  options: {
    cluster: CLUSTER_OPTION,
    "num-workers": {
      kind: "text",
      value: "N",
      about: "how many to start, those that died included; default 1",
    },
    port: {
      kind: "text",
      value: "P",
      about: "the first one's port, the others count up; default: after those that run, else the template's",
    },
    restart: { kind: "flag", about: "replace the running ones, each after its calls are done" },
  },
  run: workers,
};
