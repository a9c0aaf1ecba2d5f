import { type Readiness, runProgram, runUntilSignal } from "@ol/common";

import { readCommandLine, type Request, USAGE } from "./command-line.ts";
import { startRegistry } from "./process.ts";
import { scrub } from "./scrub.ts";
import { VERSION } from "./version.ts";

const show = (text: string, exitCode = 0): number => {
  process.stdout.write(text);
  return exitCode;
};

const execute = async (request: Request, readiness: Readiness): Promise<number> => {
  switch (request.kind) {
    case "run":
      return runUntilSignal("ol-registry", "requests", readiness, () =>
        startRegistry(request.config, process.env),
      );
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
export const main = (): Promise<void> =>
  runProgram("ol-registry", process.env, (readiness) =>
    execute(readCommandLine(process.argv.slice(2)), readiness),
  );
