import { machine } from "node:os";
import { join } from "node:path";

import type { Logger } from "@ol/common";
import type { WorkerConfig } from "@ol/config";
import { Installer, type InstallerTools, type LockStore, PackageStore } from "@ol/lambda";
import type { SandboxPool } from "@ol/sandbox";

/** Bytes of code live here, in the worker's own directory. */
export const codeDirOf = ({ workerDir }: Pick<WorkerConfig, "workerDir">): string => join(workerDir, "code");

/** The packages of a worker. */
export const makePackageStore = (
  config: WorkerConfig,
  engine: { readonly python: string },
  pool: SandboxPool,
  tools: InstallerTools,
  locks: LockStore,
  logger: Logger,
): PackageStore =>
  new PackageStore({
    packagesDir: config.pkgsDir,
    python: engine.python.split(".").slice(0, 2).join("."),
    machine: machine(),
    installer: new Installer({
      pool,
      codeDir: codeDirOf(config),
      limits: config.installerLimits,
      network: "host",
      tools,
      source: config.sourcePackages,
      logger,
    }),
    locks,
    waitMs: config.installerLimits.runtimeSec * 1_000,
    logger,
  });
