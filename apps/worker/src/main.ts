import { runProgram } from "@ol/common";

import { readCommandLine, type Request, USAGE } from "./command-line.ts";
import { checkBase, doctor, type Outcome, sweep } from "./host-commands.ts";
import { HANDOVER_VARIABLE, HandOver, LISTEN_VARIABLE } from "./hand-over.ts";
import { packageWork } from "./package-commands.ts";
import { runWorker, type Supervisor } from "./run.ts";
import { GO_VARIABLE, Standby } from "./standby.ts";
import { VERSION } from "./version.ts";

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
    case "base":
      return show(await checkBase(request.config, request.json, process.env));
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
  const standby = new Standby(process.env[GO_VARIABLE]);
  const handOver = new HandOver(process.env[HANDOVER_VARIABLE], process.env[LISTEN_VARIABLE]);
  for (const name of [GO_VARIABLE, HANDOVER_VARIABLE, LISTEN_VARIABLE]) delete process.env[name];
  await runProgram("ol-worker", process.env, (readiness) =>
    execute(readCommandLine(process.argv.slice(2)), { readiness, standby, handOver }),
  );
};
