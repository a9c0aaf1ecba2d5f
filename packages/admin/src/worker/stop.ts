import { loadWorkerConfig } from "@ol/config";
import { isOlError } from "@ol/common";

import { type StopOutcome, stopProcess } from "../process/stop.ts";
import type { Worker } from "./list.ts";

/** On top of the longest call: replies are written, sandboxes ended. */
const MARGIN_MS = 10_000;
/** For a worker whose configuration cannot be read any more. */
const FALLBACK_MS = 40_000;

const graceOf = async (worker: Worker): Promise<number> => {
  try {
    const config = await loadWorkerConfig(worker.configFile);
    return config.limits.runtimeSec * 1000 + MARGIN_MS;
  } catch (error) {
    if (isOlError(error)) return FALLBACK_MS;
    throw error;
  }
};

/** Ends a worker: SIGTERM, as long as its calls may take, SIGKILL. */
export const stopWorker = async (worker: Worker, graceMs?: number): Promise<StopOutcome> => {
  if (worker.process === undefined || worker.state !== "running") return "was-gone";
  return stopProcess(worker.process, graceMs ?? (await graceOf(worker)));
};
