import { readdirSync } from "node:fs";
import { join } from "node:path";

import { readLambdaConfig } from "@ol/bundle";
import { isOlError } from "@ol/common";
import { loadWorkerConfig } from "@ol/config";

import { errnoOf } from "../errors.ts";
import { type StopOutcome, stopProcess } from "../process/stop.ts";
import type { Worker } from "./list.ts";

/** On top of the longest call: before it, load balancers are told for up to 7 s; after it replies are written, sandboxes ended. */
const MARGIN_MS = 20_000;
/** For a worker whose configuration cannot be read any more. */
const FALLBACK_MS = 50_000;

/** How long a lambda's own ol.yaml lets a call run; 0 if it does not say, or says it wrongly: it does not run then. */
const ownRuntimeSec = (directory: string): number => {
  try {
    return readLambdaConfig(directory).limits.runtimeSec ?? 0;
  } catch (error) {
    if (isOlError(error)) return 0;
    throw error;
  }
};

/** The code that the worker has, wherever it came from: NAME@DIGEST. */
const codeIn = (directory: string): string[] => {
  try {
    return readdirSync(directory).filter((name) => name.includes("@"));
  } catch (error) {
    // It has none yet.
    if (errnoOf(error) !== undefined) return [];
    throw error;
  }
};

/** As long as the longest call may take that can be running, in ms. */
export const graceOf = async (worker: Worker): Promise<number> => {
  try {
    const { limits, workerDir } = await loadWorkerConfig(worker.configFile);
    const directory = join(workerDir, "code");
    const own = codeIn(directory).map((name) => ownRuntimeSec(join(directory, name)));
    return Math.max(limits.runtimeSec, ...own) * 1000 + MARGIN_MS;
  } catch (error) {
    if (isOlError(error)) return FALLBACK_MS;
    throw error;
  }
};

/** Ends a worker: SIGTERM, as long as its calls may take (or `graceMs`), SIGKILL. */
export const stopWorker = async (
  worker: Worker,
  interrupt: AbortSignal,
  graceMs?: number,
): Promise<StopOutcome> => {
  if (worker.process === undefined || worker.state !== "running") return "was-gone";
  return stopProcess(worker.process, graceMs ?? (await graceOf(worker)), interrupt);
};
