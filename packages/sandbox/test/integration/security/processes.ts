import { readFile, readdir } from "node:fs/promises";

/** A process as the host sees it. */
export interface HostProcess {
  readonly pid: number;
  readonly parent: number;
  readonly name: string;
  /** Fields of /proc/PID/status. */
  readonly status: Readonly<Record<string, string>>;
}

const parseStatus = (text: string): Record<string, string> =>
  Object.fromEntries(
    text
      .split("\n")
      .filter((line) => line.includes(":\t"))
      .map((line) => line.split(":\t", 2) as [string, string]),
  );

/** Every process of the machine; those that end meanwhile are left out. */
export const listProcesses = async (): Promise<HostProcess[]> => {
  const found: HostProcess[] = [];
  for (const pid of (await readdir("/proc")).filter((name) => /^\d+$/.test(name))) {
    try {
      const status = parseStatus(await readFile(`/proc/${pid}/status`, "utf8"));
      found.push({ pid: Number(pid), parent: Number(status["PPid"]), name: status["Name"] ?? "", status });
    } catch {
      continue;
    }
  }
  return found;
};

export const childrenOf = async (pid: number): Promise<HostProcess[]> =>
  (await listProcesses()).filter((process) => process.parent === pid);
