import { existsSync } from "node:fs";

import { readJsonObject, validateTemplate, writeJsonFile } from "@ol/config";

import type { ClusterPaths } from "../cluster/paths.ts";
import { urlOf } from "../worker/address.ts";
import { listWorkers } from "../worker/list.ts";

/** A worker, as load balancers read it. */
interface ListedWorker {
  readonly url: string;
  readonly slots?: number;
}

const runningWorkers = async (paths: ClusterPaths): Promise<readonly ListedWorker[]> => {
  const workers: ListedWorker[] = [];
  for (const { state, configured, configFile } of listWorkers(paths)) {
    if (state !== "running" || !configured) continue;
    const config = validateTemplate(await readJsonObject(configFile), configFile);
    workers.push({
      url: urlOf(config.worker_url ?? "localhost", config.worker_port ?? 8080),
      ...(config.worker_slots !== undefined && { slots: config.worker_slots }),
    });
  }
  return workers;
};

/**
 * Writes config/workers.json, which load balancers read again whenever it changes: the workers that run. A list loses nothing that
 * registrations would: a balancer that starts knows all workers at once, and a worker that is replaced keeps its place.
 */
export const writeWorkerList = async (paths: ClusterPaths): Promise<void> =>
  writeJsonFile(paths.workerList, await runningWorkers(paths));

/** The same after workers were started or ended; a cluster that never had one gets no list. */
export const updateWorkerList = async (paths: ClusterPaths): Promise<void> => {
  const workers = await runningWorkers(paths);
  if (workers.length > 0 || existsSync(paths.workerList)) await writeJsonFile(paths.workerList, workers);
};
