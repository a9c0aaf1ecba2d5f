import { messageOf } from "@ol/common";

import { stopServices } from "../app/deployment.ts";
import { type AppRecord, listRecords } from "../app/record.ts";
import { stopBalancer } from "../balancer/server.ts";
import { updateWorkerList } from "../balancer/worker-list.ts";
import type { Context } from "../cli/command.ts";
import { withProgress } from "../cli/progress.ts";
import { removePidFile } from "../process/pid-file.ts";
import type { StopOutcome } from "../process/stop.ts";
import { stopRegistry } from "../registry/server.ts";
import { escapeControls } from "../text.ts";
import { hostWork } from "../worker/host-work.ts";
import { type Worker, listWorkers } from "../worker/list.ts";
import { stopWorker } from "../worker/stop.ts";
import type { ClusterPaths } from "./paths.ts";

const WORDS = {
  "was-gone": "was not running",
  ended: "stopped",
  killed: "killed, since it did not stop in time",
};

/** Ends one worker and removes what it leaves on the host. The pid file goes last: until then `kill` can be repeated. */
const killWorker = async (worker: Worker, graceMs: number | undefined, context: Context): Promise<string> => {
  const outcome = await stopWorker(worker, context.signal, graceMs);
  if (worker.configured) await hostWork(context, "sweep", worker.configFile);
  removePidFile(worker.pidFile);
  return worker.state === "dead" ? "was dead; what it left is removed" : WORDS[outcome];
};

/** Ends what applications started; settles with whether all of it is ended. */
const stopApplications = async (
  paths: ClusterPaths,
  records: readonly AppRecord[],
  context: Context,
): Promise<boolean> => {
  let good = true;
  for (const record of records) {
    try {
      const count = await stopServices(paths, record, context.signal);
      if (count > 0)
        context.output.message(
          `${record.name}: what its setup.sh started is stopped; ol-admin app starts it again`,
        );
    } catch (error) {
      if (context.signal.aborted) throw error;
      context.output.message(`${record.name}: ${escapeControls(messageOf(error))}`);
      good = false;
    }
  }
  return good;
};

/** After the workers: what they are starting may still be on its way from there. */
const killRegistry = async (
  paths: ClusterPaths,
  graceMs: number | undefined,
  context: Context,
): Promise<StopOutcome> => {
  const stopping = stopRegistry(paths, context.signal, graceMs);
  const outcome = await withProgress(context.output, "stopping the registry", stopping);
  if (outcome !== "was-gone") context.output.message(`registry ${WORDS[outcome]}`);
  return outcome;
};

/** Before the workers: it takes no new calls, and those that run end as they would have. */
const killBalancer = async (
  paths: ClusterPaths,
  graceMs: number | undefined,
  context: Context,
): Promise<StopOutcome> => {
  const stopping = stopBalancer(paths, context.signal, graceMs);
  const outcome = await withProgress(context.output, "stopping the load balancer", stopping);
  if (outcome !== "was-gone") context.output.message(`load balancer ${WORDS[outcome]}`);
  return outcome;
};

/** All at once; settles with whether all of them are ended. */
const killWorkers = async (
  workers: readonly Worker[],
  graceMs: number | undefined,
  context: Context,
): Promise<boolean> => {
  const all = Promise.allSettled(workers.map((worker) => killWorker(worker, graceMs, context)));
  const outcomes = await withProgress(context.output, "stopping the cluster", all);
  context.signal.throwIfAborted();
  let good = true;
  for (const [at, outcome] of outcomes.entries()) {
    const name = workers[at]?.name ?? "worker";
    if (outcome.status === "fulfilled") context.output.message(`${name} ${outcome.value}`);
    else {
      context.output.message(`${name}: ${escapeControls(messageOf(outcome.reason))}`);
      good = false;
    }
  }
  return good;
};

/**
 * Ends every process and sandbox of a cluster, each part after what sends it work. `graceMs` is how long each may take to finish
 * what it does; without it, as long as a call may run. Settles with an exit code: 1 if something could not be ended, which is said.
 */
export const stopCluster = async (
  paths: ClusterPaths,
  graceMs: number | undefined,
  context: Context,
): Promise<number> => {
  const balancer = await killBalancer(paths, graceMs, context);
  const workers = listWorkers(paths);
  let good = await killWorkers(workers, graceMs, context);
  await updateWorkerList(paths);
  // Not before the last call is done: it may need them.
  const services = stopApplications(paths, await listRecords(paths), context);
  if (!(await withProgress(context.output, "stopping applications", services))) good = false;
  const registry = await killRegistry(paths, graceMs, context);
  if (workers.length === 0 && registry === "was-gone" && balancer === "was-gone")
    context.output.message("nothing of this cluster was running");
  return good ? 0 : 1;
};
