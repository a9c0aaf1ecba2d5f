import { join } from "node:path";

import { isOlError, type Logger } from "@ol/common";
import { readJsonObject, type WorkerConfig, writeJsonFile } from "@ol/config";
import {
  GrowingTree,
  LEAST_BUDGET_MB,
  NoZygotes,
  type StateStore,
  ZygoteKeeper,
  type ZygotePolicy,
} from "@ol/lambda";
import type { SandboxPool } from "@ol/sandbox";

/** Of the memory that sandboxes share, what zygotes may hold in each network class. */
const SHARE = 0.1;

/** The zygotes as the configuration wants them, with what an earlier worker of it knew. */
export const makeZygoteKeeper = (
  config: WorkerConfig,
  pool: SandboxPool,
  logger: Logger,
): Promise<ZygoteKeeper> =>
  ZygoteKeeper.create({
    pool,
    makePolicy: () => policyOf(config),
    ...(config.importCache === "auto" && { state: new StateFile(join(config.workerDir, "zygotes.json")) }),
    logger,
  });

const policyOf = (config: WorkerConfig): ZygotePolicy => {
  const budgetMb = Math.max(LEAST_BUDGET_MB, config.memPoolMb * SHARE);
  return config.importCache === "auto" ? new GrowingTree({ budgetMb }) : new NoZygotes();
};

/** A keeper's state in a file of JSON. */
class StateFile implements StateStore {
  readonly #file: string;

  constructor(file: string) {
    this.#file = file;
  }

  async load(): Promise<unknown> {
    try {
      return await readJsonObject(this.#file);
    } catch (error) {
      if (isOlError(error, "OL_CONFIG_NOT_FOUND")) return undefined;
      throw error;
    }
  }

  save(state: unknown): Promise<void> {
    return writeJsonFile(this.#file, state, 0o600);
  }
}
