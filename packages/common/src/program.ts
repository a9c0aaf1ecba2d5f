import { isOlError, messageOf } from "./errors.ts";
import { Readiness, READY_VARIABLE } from "./readiness.ts";

/** One clear line; an error that is not ours is a defect, and said to be one. */
const explain = (error: unknown): string =>
  isOlError(error) ? error.message : `internal error: ${messageOf(error)}`;

/**
 * Runs a program of ours and exits with the code that `execute` settles with; 1 if it fails. What goes wrong, also where nobody
 * waits for it, is one line on standard error, and told to whoever waits for the program to be ready; `environment`
 * is the process's own, and loses what says who that is.
 */
export const runProgram = async (
  name: string,
  environment: Record<string, string | undefined>,
  execute: (readiness: Readiness) => Promise<number>,
): Promise<void> => {
  const readiness = new Readiness(environment[READY_VARIABLE]);
  delete environment[READY_VARIABLE];
  const fail = (error: unknown): void => {
    const message = explain(error);
    process.stderr.write(`${name}: ${message}\n`);
    readiness.failed(message);
  };
  const crash = (error: unknown): void => {
    fail(error);
    process.exit(1);
  };
  process.on("uncaughtException", crash);
  process.on("unhandledRejection", crash);
  let exitCode = 1;
  try {
    exitCode = await execute(readiness);
  } catch (error) {
    fail(error);
  }
  // What is still open (a client's connection, a timer) must not hold the end up.
  process.stdout.write("", () => process.exit(exitCode));
};
