import { type HeldLock, lockFree, messageOf, tryLock } from "@ol/common";

import { adminError, errnoOf } from "../errors.ts";
import { escapeControls } from "../text.ts";

/** Longer than any command takes that holds the lock, a `kill` that waits for running calls included. */
const DEADLINE_MS = 180_000;

/**
 * Makes sure that one ol-admin at a time changes a cluster, by the kernel's lock `ol-<cluster id>-admin`. Fails with
 * OL_ADMIN_BUSY, and with OL_ADMIN_FILE where there can be no lock.
 */
export const lockCluster = async (
  clusterId: string,
  what: string,
  options: {
    readonly waiting?: (what: string) => void;
    readonly signal?: AbortSignal;
    readonly deadlineMs?: number;
  } = {},
): Promise<HeldLock> => {
  const name = `ol-${clusterId}-admin`;
  const deadline = AbortSignal.timeout(options.deadlineMs ?? DEADLINE_MS);
  const signal = options.signal === undefined ? deadline : AbortSignal.any([options.signal, deadline]);
  let holder = "another command";
  const said = (what: string): void => {
    holder = escapeControls(what);
    options.waiting?.(holder);
  };
  for (;;) {
    const lock = await taken(name, `${what} (process ${process.pid})`);
    if (lock !== undefined) return lock;
    try {
      await lockFree(name, said, signal);
    } catch (error) {
      if (!deadline.aborted) throw error;
      throw adminError(
        "OL_ADMIN_BUSY",
        `ol-admin ${holder} changes this cluster and does not finish; end it, then try again`,
        { cause: error },
      );
    }
  }
};

const taken = async (name: string, what: string): Promise<HeldLock | undefined> => {
  try {
    return await tryLock(name, what);
  } catch (error) {
    const reason = errnoOf(error) ?? messageOf(error);
    throw adminError("OL_ADMIN_FILE", `cannot lock the cluster: ${reason}`, { cause: error });
  }
};
