import { constants } from "node:os";

import type { SandboxExit } from "../engine.ts";

/** How something ended, for people. */
export const words = (exit: SandboxExit): string => {
  if (exit.reason === "exit") return `it exited with code ${exit.code}`;
  if (exit.reason === "signal") return `it was ended by ${exit.signal}`;
  if (exit.reason === "lost") return exit.message ?? "no reason is known";
  return exit.reason;
};

/** Such as SIGKILL; undefined if there is none of that number. */
export const signalName = (number: number): string | undefined =>
  Object.entries(constants.signals).find(([, value]) => value === number)?.[0];
