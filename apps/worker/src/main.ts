import { isOlError, messageOf, Readiness, READY_VARIABLE } from "@ol/common";

import { readCommandLine, type Request, USAGE } from "./command-line.ts";
import { doctor, type Outcome, sweep } from "./host-commands.ts";
import { HANDOVER_VARIABLE, HandOver, LISTEN_VARIABLE } from "./hand-over.ts";
import { packageWork } from "./package-commands.ts";
import { runWorker, type Supervisor } from "./run.ts";
import { GO_VARIABLE, Standby } from "./standby.ts";
import { VERSION } from "./version.ts";

/** One clear line; an error that is not ours is a defect, and said to be one. */
const explain = (error: unknown): string =>
  isOlError(error) ? error.message : `internal error: ${messageOf(error)}`;

const show = ({ text, exitCode }: Outcome): number => {
  process.stdout.write(text);
  return exitCode;
};

const execute = async (request: Request, supervisor: Supervisor): Promise<number> => {
  switch (request.kind) {
    case "run":
      return runWorker(request.config, supervisor);
    case "sweep":
      return show(await sweep(request.config, request.json, process.env));
    case "doctor":
      return show(await doctor(request.config, request.json, process.env));
    case "packages":
      return show(await packageWork(request.config, request.work, request.json, process.env));
    case "help":
      return show({ text: USAGE, exitCode: 0 });
    case "version":
      return show({ text: `${VERSION}\n`, exitCode: 0 });
    default:
      process.stderr.write(`ol-worker: ${request.problem}\n\n${USAGE}`);
      return 2;
  }
};

/** Runs the command line of this process and exits. */
export const main = async (): Promise<void> => {
  const readiness = new Readiness(process.env[READY_VARIABLE]);
  const standby = new Standby(process.env[GO_VARIABLE]);
  const handOver = new HandOver(process.env[HANDOVER_VARIABLE], process.env[LISTEN_VARIABLE]);
  for (const name of [READY_VARIABLE, GO_VARIABLE, HANDOVER_VARIABLE, LISTEN_VARIABLE])
    delete process.env[name];
  const fail = (error: unknown): void => {
    const message = explain(error);
    process.stderr.write(`ol-worker: ${message}\n`);
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
    exitCode = await execute(readCommandLine(process.argv.slice(2)), { readiness, standby, handOver });
  } catch (error) {
    fail(error);
  }
  // What is still open (a client's connection, a timer) must not hold the end up.
  process.stdout.write("", () => process.exit(exitCode));
};
