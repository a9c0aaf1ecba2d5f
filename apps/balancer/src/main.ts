import { type Readiness, runProgram, runUntilSignal } from "@ol/common";

import { readCommandLine, type Request, USAGE } from "./command-line.ts";
import { startBalancer } from "./process.ts";
import { VERSION } from "./version.ts";

const show = (text: string): number => {
  process.stdout.write(text);
  return 0;
};

const execute = async (request: Request, readiness: Readiness): Promise<number> => {
  switch (request.kind) {
    case "run":
      return runUntilSignal("ol-balancer", "calls", readiness, () =>
        startBalancer(request.config, process.env),
      );
    case "help":
      return show(USAGE);
    case "version":
      return show(`${VERSION}\n`);
    default:
      process.stderr.write(`ol-balancer: ${request.problem}\n\n${USAGE}`);
      return 2;
  }
};

/** Runs the command line of this process and exits. */
export const main = (): Promise<void> =>
  runProgram("ol-balancer", process.env, (readiness) =>
    execute(readCommandLine(process.argv.slice(2)), readiness),
  );
