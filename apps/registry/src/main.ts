import { isOlError, messageOf, Readiness, READY_VARIABLE } from "@ol/common";

import { readCommandLine, type Request, USAGE } from "./command-line.ts";
import { runRegistry } from "./run.ts";
import { scrub } from "./scrub.ts";
import { VERSION } from "./version.ts";

/** One clear line; an error that is not ours is a defect, and said to be one. */
const explain = (error: unknown): string =>
  isOlError(error) ? error.message : `internal error: ${messageOf(error)}`;

const show = (text: string, exitCode = 0): number => {
  process.stdout.write(text);
  return exitCode;
};

const execute = async (request: Request, readiness: Readiness): Promise<number> => {
  switch (request.kind) {
    case "run":
      return runRegistry(request.config, readiness);
    case "scrub": {
      const { text, exitCode } = await scrub(request.config, request.json, process.env);
      return show(text, exitCode);
    }
    case "help":
      return show(USAGE);
    case "version":
      return show(`${VERSION}\n`);
    default:
      process.stderr.write(`ol-registry: ${request.problem}\n\n${USAGE}`);
      return 2;
  }
};

/** Runs the command line of this process and exits. */
export const main = async (): Promise<void> => {
  const readiness = new Readiness(process.env[READY_VARIABLE]);
  delete process.env[READY_VARIABLE];
  const fail = (error: unknown): void => {
    const message = explain(error);
    process.stderr.write(`ol-registry: ${message}\n`);
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
    exitCode = await execute(readCommandLine(process.argv.slice(2)), readiness);
  } catch (error) {
    fail(error);
  }
  // What is still open (a client's connection, a timer) must not hold the end up.
  process.stdout.write("", () => process.exit(exitCode));
};
