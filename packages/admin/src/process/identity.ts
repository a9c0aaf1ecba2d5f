import { readFileSync } from "node:fs";

/**
 * Which process is meant. A pid alone may belong to a stranger tomorrow; with the moment it started and the
 * boot it started in it is unique.
 */
export interface ProcessIdentity {
  readonly pid: number;
  /** Field 22 of /proc/PID/stat: clock ticks after boot. */
  readonly startTime: string;
  /** /proc/sys/kernel/random/boot_id */
  readonly bootId: string;
}

const readOrUndefined = (path: string): string | undefined => {
  try {
    return readFileSync(path, "utf8");
  } catch {
    // The process is gone: that is an answer, not a failure.
    return undefined;
  }
};

/** Start time of a process from the text of its /proc/PID/stat; undefined if it is dead but not yet reaped. */
export const startTimeOf = (stat: string): string | undefined => {
  // The name in parentheses may itself hold parentheses and blanks.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const state = fields[0];
  return state === "Z" || state === "X" ? undefined : fields[19];
};

const bootId = (): string => readOrUndefined("/proc/sys/kernel/random/boot_id")?.trim() ?? "";

/** The identity of a living process; undefined if there is none with this pid. */
export const identityOf = (pid: number): ProcessIdentity | undefined => {
  const stat = readOrUndefined(`/proc/${pid}/stat`);
  const startTime = stat === undefined ? undefined : startTimeOf(stat);
  return startTime === undefined ? undefined : { pid, startTime, bootId: bootId() };
};

/** Whether exactly this process lives. */
export const isAlive = (identity: ProcessIdentity): boolean => {
  const now = identityOf(identity.pid);
  return now !== undefined && now.startTime === identity.startTime && now.bootId === identity.bootId;
};
