import { accessSync, constants, readFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

import type { Environment } from "@ol/config";

import { type ProcessIdentity, isAlive } from "../process/identity.ts";
import { parseStatus } from "../process/status.ts";

const USHER = fileURLToPath(new URL("../../python/take_over.py", import.meta.url));
/** A Python and a connection to a path; after this the successor does without. */
const HAND_OVER_SEC = 10;
const SIGNAL = "SIGUSR2";

/** How a successor comes by the listening sockets of the worker that it replaces. */
export interface TakeOver {
  /** What comes before the successor's own command. */
  readonly words: readonly string[];
  /** Has the old worker hand them over, once those words say that they are listening. */
  request(): void;
}

const pythonOn = (path: string): string | undefined =>
  path
    .split(delimiter)
    .map((directory) => join(directory, "python3"))
    .find((file) => {
      try {
        accessSync(file, constants.X_OK);
        return true;
      } catch {
        // The next one may be there.
        return false;
      }
    });

const statusOf = (pid: number): string => {
  try {
    return readFileSync(`/proc/${pid}/status`, "utf8");
  } catch {
    // It is gone, and has nothing to hand over.
    return "";
  }
};

/**
 * Undefined if that cannot be: the worker is of an earlier version, and would be ended by the signal, or there is no Python.
 * The successor then listens as soon as the old one does not any more.
 */
export const takeOverFrom = (
  predecessor: ProcessIdentity,
  path: string,
  environment: Environment,
): TakeOver | undefined => {
  const { uid, handles } = parseStatus(statusOf(predecessor.pid), SIGNAL);
  const python = pythonOn(environment["PATH"] ?? "");
  if (!handles || uid === undefined || python === undefined) return undefined;
  return {
    words: [python, "-I", "-S", USHER, path, String(uid), String(HAND_OVER_SEC), "--"],
    request: () => {
      if (isAlive(predecessor)) process.kill(predecessor.pid, SIGNAL);
    },
  };
};
