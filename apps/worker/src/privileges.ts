import { constants } from "node:fs";
import { access } from "node:fs/promises";
import { fileURLToPath } from "node:url";

import { configError, type WorkerIdentity } from "@ol/config";
import { systemReason } from "@ol/common";

/**
 * Makes this process `identity` for good: its group and no other, then the user. Everything that needs root has to be
 * open by then. Fails with OL_CONFIG_WORKER_USER if the user cannot read what a worker reads later, `needed` among it.
 */
export const giveUpRoot = async (identity: WorkerIdentity, needed: readonly string[]): Promise<void> => {
  const { name, uid, gid } = identity;
  process.setgroups?.([gid]);
  process.setgid?.(gid);
  process.setuid?.(uid);
  if (process.getuid?.() !== uid || process.geteuid?.() !== uid)
    throw configError("OL_CONFIG_WORKER_USER", `the worker could not become ${name}`);
  // Parts of the installation are loaded only when they are needed.
  for (const path of [fileURLToPath(import.meta.url), ...needed])
    try {
      await access(path, constants.R_OK);
    } catch (error) {
      throw configError(
        "OL_CONFIG_WORKER_USER",
        `the worker runs as ${name}, who cannot read ${path} (${systemReason(error)}); let him, or set worker_user`,
        { cause: error },
      );
    }
};
