import type { SockEngineOptions } from "./options.ts";
import { PYTHON_DIR } from "./python.ts";

const DEFAULT_PREPARED = 1;
// More than a machine forks in the time that a first call takes would only hold memory.
const DEFAULT_MOST_PREPARED = 8;

/** The name of the control group that holds all others of a worker. */
export const groupNameOf = ({
  clusterId,
  workerName,
}: Pick<SockEngineOptions, "clusterId" | "workerName">): string => `ol-${clusterId}-${workerName}`;

/** The broker's `start` request. */
export const startFields = (options: SockEngineOptions): Record<string, unknown> => {
  const prepared = options.prepared ?? DEFAULT_PREPARED;
  return {
    workDir: options.workDir,
    codeDir: options.codeDir,
    ...(options.logDir !== undefined && { logDir: options.logDir }),
    ...(options.packagesDir !== undefined && { packagesDir: options.packagesDir }),
    ...(options.baseDir !== undefined && { base: options.baseDir }),
    ...(options.worker !== undefined && { worker: options.worker }),
    runtimeDir: PYTHON_DIR,
    groupPrefix: groupNameOf(options),
    prepared,
    mostPrepared: Math.max(prepared, options.mostPrepared ?? DEFAULT_MOST_PREPARED),
    preload: options.preload ?? "stdlib",
    steps: options.steps ?? false,
    networks: options.networks ?? ["host"],
    scratchInMemory: options.scratch === "memory",
    downsizePaused: options.downsizePaused ?? true,
    weaken: options.weaken ?? [],
  };
};
