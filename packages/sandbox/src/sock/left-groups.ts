import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";

/** Where the hierarchies of control groups are mounted, from the text of /proc/self/mountinfo. */
const mountPoints = (mountinfo: string): readonly string[] =>
  mountinfo.split("\n").flatMap((line) => {
    const [before = "", after = ""] = line.split(" - ");
    const point = before.split(" ")[4];
    return point !== undefined && /^cgroup2? /u.test(after) ? [point] : [];
  });

/** A group, and all that it is in. */
const withParents = (group: string): readonly string[] =>
  group === dirname(group) ? [group] : [group, ...withParents(dirname(group))];

/**
 * Whether there is a control group of this name where an engine makes its own (ol_host/hierarchies.py): at the top of a hierarchy,
 * in this process's group, or in one that it is in.
 */
export const hasLeftGroup = async (name: string): Promise<boolean> => {
  const points = mountPoints(await readFile("/proc/self/mountinfo", "utf8"));
  const own = (await readFile("/proc/self/cgroup", "utf8")).trim().split("\n");
  const parents = new Set(["/", ...own.flatMap((line) => withParents(line.replace(/^[^:]*:[^:]*:/u, "")))]);
  return points.some((point) => [...parents].some((parent) => existsSync(join(point, parent, name))));
};
