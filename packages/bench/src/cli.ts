import { isOlError, messageOf } from "@ol/common";

import { DEFAULT_REPORT, runReport } from "./balancer/report.ts";
import { DEFAULT_PROXIES, runProxies } from "./balancer/run.ts";
import { CLUSTER } from "./cluster/cli.ts";
import { type NamedCommand, namedCommand, type Progress } from "./command.ts";
import { benchError } from "./errors.ts";
import { COMPARE } from "./compare/cli.ts";
import { DEFAULT_INSTALL, runInstall } from "./install/run.ts";
import { MIXED } from "./mixed/cli.ts";
import { DEFAULT_PACKAGES, runPackages } from "./packages/run.ts";
import { PLAY } from "./play/cli.ts";
import { REGISTRY } from "./registry/cli.ts";
import type { Results } from "./results.ts";
import { DEFAULT_OPTIONS, QUICK_OPTIONS, runBenchmark } from "./run.ts";
import { CHURN } from "./sandboxes/churn.ts";
import { CREATE } from "./sandboxes/create.ts";
import { DENSITY } from "./sandboxes/density.ts";
import { WARM } from "./sandboxes/warm.ts";
import { ZYGOTE } from "./sandboxes/zygote.ts";
import { SIMULATE } from "./simulate/cli.ts";
import { formatTable, plotTable } from "./table.ts";
import { VALIDATE } from "./validate/cli.ts";
import { SWEEP } from "./virtual/cli.ts";
import { ZYGOTES } from "./zygotes/cli.ts";

/** Without a name on the command line. */
const RUN = "run";

const QUICK = { quick: { type: "boolean", default: false } } as const;

const BENCHMARK = namedCommand(RUN, {
  about:
    "measures sandboxes and worker against frozen baselines, in one run; the one that is meant without a name",
  options: QUICK,
  help: "  --quick            few and short rounds: shows that it works, not how fast it is",
  run: ({ quick }, progress) => runBenchmark({ ...(quick ? QUICK_OPTIONS : DEFAULT_OPTIONS), progress }),
  format: formatTable,
  plot: plotTable,
});

/** A command that takes nothing. */
const tabled = (
  name: string,
  about: string,
  measure: (progress: Progress) => Promise<Results>,
): NamedCommand =>
  namedCommand(name, {
    about,
    options: {},
    help: "",
    run: (_values, progress) => measure(progress),
    format: formatTable,
    plot: plotTable,
  });

const COMMANDS: readonly NamedCommand[] = [
  BENCHMARK,
  CREATE,
  ZYGOTE,
  WARM,
  CHURN,
  DENSITY,
  COMPARE,
  PLAY,
  ZYGOTES,
  SIMULATE,
  SWEEP,
  VALIDATE,
  CLUSTER,
  MIXED,
  tabled("packages", "starts of a lambda with pandas, imported and from a zygote", (progress) =>
    runPackages({ ...DEFAULT_PACKAGES, progress }),
  ),
  REGISTRY,
  tabled("install", "installing numpy and pandas, by a worker and by hand", (progress) =>
    runInstall({ ...DEFAULT_INSTALL, progress }),
  ),
  tabled("balancer", "CPU time of a proxied request: the balancer, nginx, HAProxy", (progress) =>
    runProxies({ ...DEFAULT_PROXIES, progress }),
  ),
  tabled(
    "report",
    "CPU time of a call in a worker that reports its load, and in one that does not",
    (progress) => runReport({ ...DEFAULT_REPORT, progress }),
  ),
];

const usage = `ol-bench: measures OpenLambda, and what people would use instead, on this machine

usage: ol-bench COMMAND [options]     ol-bench COMMAND --help lists them

${COMMANDS.map(({ name, about }) => `  ${name.padEnd(10)} ${about}`).join("\n")}

The table and the JSON go to standard output, progress to standard error. Exit code 0 when everything could be
measured, whether or not the aims were reached; 1 when not; 2 for a wrong command line. docs/bench.md explains the figures.
`;

const named = (name: string): NamedCommand => {
  const command = COMMANDS.find((one) => one.name === name);
  if (command === undefined) throw benchError("OL_BENCH_USAGE", `there is no command ${name}`);
  return command;
};

/** Runs the command line; resolves to the exit code. */
export const main = async (args: readonly string[]): Promise<number> => {
  const [first = ""] = args;
  if (["--help", "-h", "help"].includes(first)) {
    process.stdout.write(usage);
    return 0;
  }
  const unnamed = first === "" || first.startsWith("-");
  try {
    await named(unnamed ? RUN : first).run(unnamed ? args : args.slice(1));
    return 0;
  } catch (error) {
    const wrong = isOlError(error) && error.code === "OL_BENCH_USAGE";
    const known = COMMANDS.some(({ name }) => name === first);
    const help = wrong ? `; see ol-bench ${known ? `${first} ` : ""}--help` : "";
    process.stderr.write(`ol-bench: ${messageOf(error)}${help}\n`);
    return wrong ? 2 : 1;
  }
};
