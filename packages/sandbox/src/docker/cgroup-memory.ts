import { readFile } from "node:fs/promises";

const ROOT = "/sys/fs/cgroup";

/**
 * The file in which the kernel tells what a container's control group holds, found by a process of it; undefined where that
 * cannot be seen from here. Reading it takes a thousandth of what asking the daemon does.
 */
export const memoryFileOf = async (pid: number, containerId: string): Promise<string | undefined> => {
  try {
    const file = memoryFileIn(await readFile(`/proc/${pid}/cgroup`, "utf8"), containerId);
    if (file === undefined) return undefined;
    await readFile(file, "utf8");
    return file;
  } catch {
    // It has ended, or its control groups are mounted elsewhere.
    return undefined;
  }
};

/** From the text of /proc/PID/cgroup. A group without the container's id is another process's, which has the number now. */
export const memoryFileIn = (text: string, containerId: string): string | undefined => {
  const groups = text
    .split("\n")
    .map((line) => /^\d+:(?<controllers>[^:]*):(?<path>\/.*)$/u.exec(line)?.groups)
    .filter((group) => group?.["path"]?.includes(containerId) === true);
  const first = groups.find((group) => group?.["controllers"]?.split(",").includes("memory"));
  if (first !== undefined) return `${ROOT}/memory${first["path"]}/memory.usage_in_bytes`;
  const second = groups.find((group) => group?.["controllers"] === "");
  return second === undefined ? undefined : `${ROOT}${second["path"]}/memory.current`;
};

/**
 * How many processes of a container were killed because its memory ran out, from the file that `memoryFileOf` found; undefined where
 * the kernel does not say. Counted before the process ends.
 */
export const memoryKillsOf = async (memoryFile: string): Promise<number | undefined> => {
  const file = memoryFile
    .replace(/memory\.current$/u, "memory.events")
    .replace(/memory\.usage_in_bytes$/u, "memory.oom_control");
  try {
    return memoryKillsIn(await readFile(file, "utf8"));
  } catch {
    // Its control group is gone.
    return undefined;
  }
};

/** From the text of memory.events, or memory.oom_control of control groups v1. */
export const memoryKillsIn = (text: string): number | undefined => {
  const count = /^oom_kill (?<count>\d+)$/mu.exec(text)?.groups?.["count"];
  return count === undefined ? undefined : Number(count);
};
