import { readFileSync, readdirSync } from "node:fs";

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

/** State and start time of a process from the text of its /proc/PID/stat. */
export const parseStat = (
  stat: string,
): { readonly ended: boolean; readonly startTime: string | undefined } => {
  // The name in parentheses may itself hold parentheses and blanks.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return { ended: fields[0] === "Z" || fields[0] === "X", startTime: fields[19] };
};

/**
 * Whether other threads than the first still run. An ended first thread is shown as a zombie while they do, and
 * the process keeps its ports and files as long.
 */
const hasThreads = (pid: number): boolean => {
  try {
    return readdirSync(`/proc/${pid}/task`).length > 1;
  } catch {
    // Gone altogether by now.
    return false;
  }
};

const bootId = (): string => readOrUndefined("/proc/sys/kernel/random/boot_id")?.trim() ?? "";

/** The identity of a living process; undefined if there is none with this pid. */
export const identityOf = (pid: number): ProcessIdentity | undefined => {
  const stat = readOrUndefined(`/proc/${pid}/stat`);
  if (stat === undefined) return undefined;
  const { ended, startTime } = parseStat(stat);
  if (startTime === undefined || (ended && !hasThreads(pid))) return undefined;
  return { pid, startTime, bootId: bootId() };
};

/** Whether exactly this process lives. */
export const isAlive = (identity: ProcessIdentity): boolean => {
  const now = identityOf(identity.pid);
  return now !== undefined && now.startTime === identity.startTime && now.bootId === identity.bootId;
};
