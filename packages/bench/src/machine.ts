import { cpus, loadavg, release, totalmem } from "node:os";

import type { Results } from "./results.ts";

/** Others' work per core from which on the figures say more about it than about us. */
const busyLoadPerCore = 0.3;

/** A sentence if the machine was busy before anything was measured. */
export const describeLoad = (): string[] => {
  const [lastMinute = 0] = loadavg();
  if (lastMinute / cpus().length < busyLoadPerCore) return [];
  return [
    `the machine was busy before it began (load average ${lastMinute.toFixed(2)}): repeat it on a quiet one`,
  ];
};

/** What figures depend on. */
export const describeMachine = (python: string): Results["machine"] => ({
  kernel: release(),
  arch: process.arch,
  cores: cpus().length,
  memoryMb: Math.round(totalmem() / 2 ** 20),
  node: process.versions.node,
  python,
  user: process.getuid?.() === 0 ? "root" : "ordinary",
});
