import { parseArgs } from "node:util";

import { isOlError, messageOf } from "@ol/common";

import { benchError } from "./errors.ts";
import { DEFAULT_PROXIES, runProxies } from "./balancer/run.ts";
import { runClusterCommand } from "./cluster/cli.ts";
import { DEFAULT_REPORT, runReport } from "./balancer/report.ts";
import { runMixedCommand } from "./mixed/cli.ts";
import { DEFAULT_OPTIONS, QUICK_OPTIONS, runBenchmark } from "./run.ts";
import { DEFAULT_INSTALL, runInstall } from "./install/run.ts";
import { DEFAULT_PACKAGES, runPackages } from "./packages/run.ts";
import { runRegistryCommand } from "./registry/cli.ts";
import { runSimulate } from "./simulate/cli.ts";
import type { Results } from "./results.ts";
import { formatTable } from "./table.ts";
import { runValidateCommand } from "./validate/cli.ts";
import { runSweepCommand } from "./virtual/cli.ts";
import { runZygotes } from "./zygotes/cli.ts";

const usage = `ol-bench: measures sandboxes and worker against frozen baselines, in one run

usage: ol-bench [--quick] [--json]
       ol-bench zygotes [--help]   compares policies for the zygote tree, in virtual time
       ol-bench simulate [--help]  compares the balancer's policies over a cluster, in virtual time
       ol-bench sweep [--help]     plays a worker with its own code in virtual time, for many settings
       ol-bench validate [--help]  fits the simulator to a real worker, and compares the two
       ol-bench cluster [--help]   plays lambdas with packages to real workers behind a balancer, with each policy
       ol-bench mixed [--help]     plays lambdas with packages to real workers with and without zygotes
       ol-bench packages [--json]  starts of a lambda with pandas, imported and from a zygote
       ol-bench registry [--help]  our registry beside other S3 servers
       ol-bench install [--json]   installing numpy and pandas, by a worker and by hand
       ol-bench balancer [--json]  CPU time of a proxied request: the balancer, nginx, HAProxy
       ol-bench report [--json]    CPU time of a call in a worker that reports its load, and in one that does not

  --quick   few and short rounds: shows that it works, not how fast it is
  --json    prints the JSON only; otherwise a table comes first
  --help    this text

The table and the JSON go to standard output, progress to standard error. Exit code 0 when everything could be
measured, whether or not the aims were reached; 1 when not; 2 for a wrong command line.
`;

interface Flags {
  readonly quick: boolean;
  readonly json: boolean;
  readonly help: boolean;
}

const parseFlags = (args: readonly string[]): Flags => {
  const flag = { type: "boolean", default: false } as const;
  try {
    const { values } = parseArgs({ args: [...args], options: { quick: flag, json: flag, help: flag } });
    return values;
  } catch (error) {
    throw benchError("OL_BENCH_USAGE", messageOf(error), { cause: error });
  }
};

const progress = (what: string): void => {
  process.stderr.write(`ol-bench: ${what}\n`);
};

/** A command with no option but --json. */
const tabled = async (args: readonly string[], run: () => Promise<Results>): Promise<void> => {
  const { quick, json, help } = parseFlags(args);
  if (quick) throw benchError("OL_BENCH_USAGE", "--quick is not for this command");
  if (help) {
    process.stdout.write(usage);
    return;
  }
  const results = await run();
  if (!json) process.stdout.write(`${formatTable(results)}\n\n`);
  process.stdout.write(`${JSON.stringify(results)}\n`);
};

const COMMANDS: Readonly<Record<string, (args: readonly string[]) => Promise<void>>> = {
  zygotes: runZygotes,
  simulate: runSimulate,
  sweep: runSweepCommand,
  validate: runValidateCommand,
  cluster: runClusterCommand,
  mixed: runMixedCommand,
  registry: runRegistryCommand,
  packages: (args) => tabled(args, () => runPackages({ ...DEFAULT_PACKAGES, progress })),
  balancer: (args) => tabled(args, () => runProxies({ ...DEFAULT_PROXIES, progress })),
  report: (args) => tabled(args, () => runReport({ ...DEFAULT_REPORT, progress })),
  install: (args) => tabled(args, () => runInstall({ ...DEFAULT_INSTALL, progress })),
};

/** Runs the command line; resolves to the exit code. */
export const main = async (args: readonly string[]): Promise<number> => {
  const [command = "", ...rest] = args;
  const run = COMMANDS[command];
  return run === undefined ? benchmark(args) : runCommand(command, () => run(rest));
};

const runCommand = async (command: string, run: () => Promise<void>): Promise<number> => {
  try {
    await run();
    return 0;
  } catch (error) {
    const wrong = isOlError(error) && error.code === "OL_BENCH_USAGE";
    process.stderr.write(`ol-bench: ${messageOf(error)}${wrong ? `; see ol-bench ${command} --help` : ""}\n`);
    return wrong ? 2 : 1;
  }
};

const benchmark = async (args: readonly string[]): Promise<number> => {
  let flags: Flags;
  try {
    flags = parseFlags(args);
  } catch (error) {
    process.stderr.write(`ol-bench: ${messageOf(error)}; see ol-bench --help\n`);
    return 2;
  }
  if (flags.help) {
    process.stdout.write(usage);
    return 0;
  }
  try {
    const results = await runBenchmark({ ...(flags.quick ? QUICK_OPTIONS : DEFAULT_OPTIONS), progress });
    if (!flags.json) process.stdout.write(`${formatTable(results)}\n\n`);
    process.stdout.write(`${JSON.stringify(results)}\n`);
    return 0;
  } catch (error) {
    process.stderr.write(`ol-bench: ${messageOf(error)}\n`);
    return 1;
  }
};
