import { setTimeout as sleep } from "node:timers/promises";

import { adminError, errnoOf } from "../errors.ts";
import { type ProcessIdentity, isAlive } from "./identity.ts";

/** How a process ended. */
export type StopOutcome = "was-gone" | "ended" | "killed";

/** SIGKILL ends a process unless the kernel itself holds it. */
const KILL_MS = 10_000;
const LOOK_MS = 20;

/**
 * Settles with true once the process is gone, with false at the deadline. It is not our child, and Node can
 * wait for no other process (no pidfd, and /proc has no change events): looking again is the only way.
 */
export const waitForExit = async (
  identity: ProcessIdentity,
  deadlineMs: number,
  interrupt?: AbortSignal,
): Promise<boolean> => {
  const end = performance.now() + deadlineMs;
  while (isAlive(identity)) {
    if (performance.now() >= end) return false;
    await sleep(LOOK_MS, undefined, interrupt === undefined ? {} : { signal: interrupt });
  }
  return true;
};

const signal = (identity: ProcessIdentity, name: "SIGTERM" | "SIGKILL"): void => {
  // Compared right before: nothing is signalled that is not the recorded process.
  if (!isAlive(identity)) return;
  try {
    process.kill(identity.pid, name);
  } catch (error) {
    if (errnoOf(error) === "ESRCH") return;
    const why =
      errnoOf(error) === "EPERM"
        ? "it belongs to another user; run ol-admin as that user or as root"
        : String(errnoOf(error));
    throw adminError("OL_ADMIN_NOT_STOPPED", `cannot stop process ${identity.pid}: ${why}`, { cause: error });
  }
};

/**
 * Ends exactly this process: SIGTERM, `graceMs` to finish what it does, SIGKILL. `interrupt` ends the waiting,
 * and leaves a process that is ending by itself.
 */
export const stopProcess = async (
  identity: ProcessIdentity,
  graceMs: number,
  interrupt?: AbortSignal,
): Promise<StopOutcome> => {
  if (!isAlive(identity)) return "was-gone";
  signal(identity, "SIGTERM");
  if (await waitForExit(identity, graceMs, interrupt)) return "ended";
  signal(identity, "SIGKILL");
  if (await waitForExit(identity, KILL_MS, interrupt)) return "killed";
  throw adminError(
    "OL_ADMIN_NOT_STOPPED",
    `process ${identity.pid} does not end even by SIGKILL; the kernel holds it (a dead network disk?)`,
  );
};
