import { spawn } from "node:child_process";

import { messageOf } from "@ol/common";

import type { Context } from "../cli/command.ts";
import { adminError } from "../errors.ts";
import type { Launch } from "./launch.ts";

/** A program to be run on this terminal. */
export interface Foreground {
  /** For messages. */
  readonly name: string;
  readonly failure: Launch["failure"];
  readonly command: readonly string[];
  readonly configFile: string;
}

/** Runs it until it ends, or is ended by ctrl-C; settles with the exit code. Fails with its own code if it cannot be started. */
export const runInForeground = (
  { name, failure, command, configFile }: Foreground,
  context: Context,
): Promise<number> => {
  const [program = process.execPath, ...first] = command;
  const child = spawn(program, [...first, "--config", configFile], {
    cwd: context.cwd,
    env: { ...context.environment },
    stdio: "inherit",
    // A group of its own: the terminal's ctrl-C reaches us alone, and the program hears of it once.
    detached: true,
  });
  const pass = (): void => {
    child.kill("SIGTERM");
  };
  // The program, too, takes the second one as an order to end at once.
  const signals = [context.signal, context.urgent];
  for (const signal of signals) signal.addEventListener("abort", pass, { once: true });
  if (context.signal.aborted) pass();
  return new Promise<number>((settle, reject) => {
    child.once("error", (error) =>
      reject(adminError(failure, `cannot start the ${name}: ${messageOf(error)}`, { cause: error })),
    );
    child.once("close", (code, signal) => {
      for (const one of signals) one.removeEventListener("abort", pass);
      if (signal !== null) context.output.message(`the ${name} was ended by ${signal}`);
      settle(code === 0 ? 0 : 1);
    });
  });
};
