import { defaultMemPoolMb, type WorkerTemplate } from "@ol/config";

import { adminError } from "../errors.ts";
import type { Worker } from "./list.ts";

const LAST_PORT = 65_535;

/** Which worker is to be started, on which port. */
export interface Start {
  readonly index: number;
  readonly port: number;
}

/** What is known before workers are started. */
export interface Situation {
  readonly workers: readonly Worker[];
  /** Configured port of each worker that runs or died, by index. */
  readonly ports: ReadonlyMap<number, number>;
  /** How many are wanted. */
  readonly count: number;
  /** `--port`: the first new worker's port. */
  readonly port: number | undefined;
  /** The template's port. */
  readonly defaultPort: number;
}

/**
 * Which workers to start: all that died, on the ports they had; then new ones until `count` are started, with
 * the lowest free numbers. New ports count up: from `--port`, else after those that run, else from the template's.
 */
export const planStarts = (situation: Situation): readonly Start[] => {
  const { workers, ports, count } = situation;
  const starts: Start[] = workers.flatMap(({ index, state }) => {
    const port = ports.get(index);
    return state === "dead" && port !== undefined ? [{ index, port }] : [];
  });
  const taken = new Set(ports.values());
  const used = new Set([
    ...workers.filter(({ state }) => state === "running").map(({ index }) => index),
    ...starts.map(({ index }) => index),
  ]);
  let port = situation.port ?? Math.max(situation.defaultPort, ...[...taken].map((one) => one + 1));
  for (let index = 0; starts.length < count; index++) {
    if (used.has(index)) continue;
    // With --port somebody may have named a port in the middle of ours.
    while (taken.has(port)) port += 1;
    if (port > LAST_PORT)
      throw adminError(
        "OL_ADMIN_USAGE",
        `there are no ports left up to ${LAST_PORT}; use --port with a lower one`,
      );
    starts.push({ index, port });
    port += 1;
  }
  return starts;
};

/** The content of worker-N.json: the template, and what only this worker has. */
export const workerConfigFor = (
  template: WorkerTemplate,
  start: Start,
  machine: { readonly memoryMb: number; readonly workers: number },
): Record<string, unknown> => ({
  ...template,
  worker_dir: `${template.worker_dir ?? "workers"}/worker-${start.index}`,
  worker_port: start.port,
  mem_pool_mb: template.mem_pool_mb ?? defaultMemPoolMb(machine.memoryMb, machine.workers),
});
