import { readFile, readdir } from "node:fs/promises";

/** `/proc/PID/stat`'s parent; the command's name may hold spaces and brackets, so count from its last one. */
export const parentOf = (stat: string): number => Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);

/** The Pss line of `/proc/PID/smaps_rollup`, in KiB; 0 for a process without memory of its own. */
export const pssOf = (rollup: string): number => Number(/^Pss:\s+(\d+) kB$/m.exec(rollup)?.[1] ?? 0);

/** Text of a file of /proc; undefined when the process ended meanwhile. */
const readProc = async (path: string): Promise<string | undefined> => {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "ENOENT" || code === "ESRCH") return undefined;
    throw error;
  }
};

const childrenByParent = async (): Promise<Map<number, number[]>> => {
  const children = new Map<number, number[]>();
  for (const name of await readdir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const stat = await readProc(`/proc/${name}/stat`);
    if (stat === undefined) continue;
    const parent = parentOf(stat);
    children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
  }
  return children;
};

/** Every process below `pid`, without itself. */
const below = (pid: number, children: ReadonlyMap<number, readonly number[]>): number[] => {
  const found: number[] = [];
  const waiting = [...(children.get(pid) ?? [])];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    found.push(next);
    waiting.push(...(children.get(next) ?? []));
  }
  return found;
};

/** Every process below `pid`, without itself. */
export const descendantsOf = async (pid: number): Promise<readonly number[]> =>
  below(pid, await childrenByParent());

/**
 * Proportional memory of these processes and all below them, and of all below `own` but not of itself, in MiB: pages that
 * several of them share are counted once in all.
 */
export const treesPssMb = async (roots: readonly number[], own: number): Promise<number> => {
  const children = await childrenByParent();
  const pids = new Set([
    ...below(own, children),
    ...roots.flatMap((root) => [root, ...below(root, children)]),
  ]);
  let totalKb = 0;
  for (const pid of pids) totalKb += pssOf((await readProc(`/proc/${pid}/smaps_rollup`)) ?? "");
  return totalKb / 1024;
};
