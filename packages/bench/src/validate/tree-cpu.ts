import { readdir, readFile } from "node:fs/promises";

/** The kernel counts CPU time in hundredths of a second for whoever reads it in /proc. */
const MS_PER_TICK = 10;

/** Of a process that ends while it is asked for. */
const GONE: ReadonlySet<string> = new Set(["ENOENT", "ESRCH"]);

interface Process {
  readonly parent: number;
  readonly ms: number;
}

/** Undefined for one that has ended meanwhile. */
const processOf = async (pid: string): Promise<Process | undefined> => {
  let stat: string;
  try {
    stat = await readFile(`/proc/${pid}/stat`, "utf8");
  } catch (error) {
    if (GONE.has((error as NodeJS.ErrnoException).code ?? "")) return undefined;
    throw error;
  }
  // The second field is the command's name in brackets, and may hold anything.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const ticks = [11, 12, 13, 14].reduce((sum, at) => sum + Number(fields[at]), 0);
  return { parent: Number(fields[1]), ms: ticks * MS_PER_TICK };
};

/** CPU time so far of a process and all below it, those that have ended and were waited for included, in ms. */
export const treeCpuMs = async (root: number): Promise<number> => {
  const pids = (await readdir("/proc")).filter((name) => /^[0-9]+$/u.test(name));
  const processes = new Map<number, Process>();
  for (const pid of pids) {
    const process = await processOf(pid);
    if (process !== undefined) processes.set(Number(pid), process);
  }
  const isBelow = (pid: number): boolean => {
    for (let at: number | undefined = pid; at !== undefined; at = processes.get(at)?.parent)
      if (at === root) return true;
    return false;
  };
  let ms = 0;
  for (const [pid, process] of processes) if (isBelow(pid)) ms += process.ms;
  return ms;
};
