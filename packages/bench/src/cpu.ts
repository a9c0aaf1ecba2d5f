import { readFile } from "node:fs/promises";

/** The kernel counts CPU time in hundredths of a second for whoever reads it in /proc. */
const US_PER_TICK = 10_000;

/** User and system time of a process so far, in us. */
export const cpuUsOf = async (pid: number): Promise<number> => {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8");
  // The second field is the command's name in brackets, and may hold anything.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * US_PER_TICK;
};
