import { readJsonObject, validateTemplate, writeJsonFile } from "@ol/config";

import type { ClusterPaths } from "../cluster/paths.ts";
import { urlOf } from "../worker/address.ts";
import { listWorkers } from "../worker/list.ts";

/** A worker, as load balancers read it. */
interface ListedWorker {
  readonly url: string;
  readonly slots?: number;
}

/**
 * Writes config/workers.json, which load balancers read again whenever it changes: the workers that run. A list loses nothing that
 * registrations would: a balancer that starts knows all workers at once, and a worker that is replaced keeps its place.
 */
export const listForBalancers = async (paths: ClusterPaths): Promise<void> => {
  const workers: ListedWorker[] = [];
  for (const { state, configured, configFile } of listWorkers(paths)) {
    if (state !== "running" || !configured) continue;
    const config = validateTemplate(await readJsonObject(configFile), configFile);
    workers.push({
      url: urlOf(config.worker_url ?? "localhost", config.worker_port ?? 8080),
      ...(config.worker_slots !== undefined && { slots: config.worker_slots }),
    });
  }
  await writeJsonFile(paths.workerList, workers);
};
