import { messageOf } from "@ol/common";

import { stopServices } from "../app/deployment.ts";
import { type AppRecord, listRecords } from "../app/record.ts";
import { CLUSTER_OPTION, type Command, type Context } from "../cli/command.ts";
import { withProgress } from "../cli/progress.ts";
import { openCluster } from "../cluster/discover.ts";
import type { ClusterPaths } from "../cluster/paths.ts";
import { removePidFile } from "../process/pid-file.ts";
import type { StopOutcome } from "../process/stop.ts";
import { stopRegistry } from "../registry/server.ts";
import { escapeControls } from "../text.ts";
import { hostWork } from "../worker/host-work.ts";
import { type Worker, listWorkers } from "../worker/list.ts";
import { stopWorker } from "../worker/stop.ts";
import { lockFor } from "./options.ts";

const LONGEST_GRACE_SEC = 86_400;

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

export const killCommand: Command = {
  name: "kill",
  about: "stop every process and sandbox of the cluster; calls that run may finish",
  options: {
    cluster: CLUSTER_OPTION,
    timeout: {
      kind: "text",
      value: "SECONDS",
      about: "how long running calls may take; default: limits.runtime_sec and 10 s",
    },
  },
  async run(args, context) {
    const seconds = args.wholeNumber("timeout", 0, LONGEST_GRACE_SEC);
    const cluster = await openCluster(args, context);
    await using _lock = await lockFor(cluster, "kill", context);
    const workers = listWorkers(cluster.paths);
    const graceMs = seconds === undefined ? undefined : seconds * 1000;
    const all = Promise.allSettled(workers.map((worker) => killWorker(worker, graceMs, context)));
    const outcomes = await withProgress(context.output, "stopping the cluster", all);
    context.signal.throwIfAborted();
    let code = 0;
    for (const [at, outcome] of outcomes.entries()) {
      const name = workers[at]?.name ?? "worker";
      if (outcome.status === "fulfilled") context.output.message(`${name} ${outcome.value}`);
      else {
        context.output.message(`${name}: ${escapeControls(messageOf(outcome.reason))}`);
        code = 1;
      }
    }
    // Not before the last call is done: it may need them.
    const records = await listRecords(cluster.paths);
    const services = stopApplications(cluster.paths, records, context);
    if (!(await withProgress(context.output, "stopping applications", services))) code = 1;
    const registry = await killRegistry(cluster.paths, graceMs, context);
    if (workers.length === 0 && registry === "was-gone")
      context.output.message("nothing of this cluster was running");
    return code;
  },
};
