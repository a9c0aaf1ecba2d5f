import { isPortFree, messageOf } from "@ol/common";
import { readJsonObject, validateTemplate, type WorkerTemplate } from "@ol/config";

import { updateWorkerList } from "../balancer/worker-list.ts";
import type { Context } from "../cli/command.ts";
import { withProgress } from "../cli/progress.ts";
import type { Cluster } from "../cluster/discover.ts";
import { adminError } from "../errors.ts";
import { portHolder } from "../process/port.ts";
import { escapeControls } from "../text.ts";
import { type Worker, listWorkers } from "./list.ts";
import { type Start, planStarts } from "./plan.ts";
import { type Ground, replaceOne, startOne } from "./start.ts";

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

/** Which workers are wanted. */
export interface WantedWorkers {
  /** How many to start, those that died included. */
  readonly count: number;
  /** The first new one's port. */
  readonly port?: number | undefined;
  /** Whether those that run are replaced. */
  readonly restart?: boolean;
}

/**
 * Starts and replaces workers, and tells load balancers which run then; settles with an exit code: 1 if one of them did not get
 * ready, which is said, and the others run. Fails with OL_ADMIN_PORT_IN_USE, and with OL_ADMIN_WORKER_FAILED where one is replaced.
 */
export const bringUpWorkers = async (
  cluster: Cluster,
  { count, port, restart = false }: WantedWorkers,
  context: Context,
): Promise<number> => {
  const { paths } = cluster;
  const template = validateTemplate(await readJsonObject(paths.template), paths.template);
  const known = listWorkers(paths);
  const ports = await configuredPorts(known);
  const running = known.filter(({ state }) => state === "running");
  const defaultPort = Number(template.worker_port ?? DEFAULT_PORT) || DEFAULT_PORT;
  const starts = planStarts({ workers: known, ports, count, port, defaultPort });
  const total = Math.max(cluster.identity.plan.workers, running.length + starts.length);
  const ground: Ground = { cluster, template, context, total };
  try {
    if (restart) await restartAll(ground, running, ports);
    return await startAll(ground, starts);
  } finally {
    await updateWorkerList(paths);
  }
};
