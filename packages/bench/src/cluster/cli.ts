import { resolve } from "node:path";

import { type NamedCommand, namedCommand, type Progress } from "../command.ts";
import { benchError } from "../errors.ts";
import { generateMixed, loadImportLines } from "../mixed/workload.ts";
import { numberOf, type OptionValues } from "../options.ts";
import { loadZygoteData } from "../zygotes/data.ts";
import { formatCluster, plotCluster } from "./format.ts";
import { type ClusterRunOptions, runCluster, type Scenario } from "./run.ts";
import { readRecordedCalls, type RecordedCalls } from "./trace.ts";

const POLICIES = ["RoundRobin", "LeastConnections", "Hash", "LARD", "Cost"];

const help = `  --workers=N        default 4
  --slots=N          calls that a worker runs at once; default 4
  --lambdas=N        each with a package set of its own; default 60
  --skew=X           the n-th lambda is called n^-X as often as the first; default 1
  --memory=X         a worker has memory for so large a share of the lambdas; default 0.333
  --run-ms=N         how long a call takes besides importing, without the CPU; default 20
  --clients=X        for each slot of all workers, each calls again when it is answered; default 4
  --policy=NAME      one of ${POLICIES.join(", ")}; may be given several times; default: all
  --seeds=N          how many sets of lambdas; default 3
  --warmup=N         seconds before each measurement; default 20
  --seconds=N        measured; default 30
  --sweep            also where locality helps less: all lambdas called equally often, memory for all, and both
  --trace=FILE       calls that a worker recorded (its key trace), in their order and at their times
  --directory=DIR    where packages are kept for the next run; default: nowhere`;

const STRING = { type: "string" } as const;

const OPTIONS = {
  workers: { ...STRING, default: "4" },
  slots: { ...STRING, default: "4" },
  lambdas: STRING,
  skew: { ...STRING, default: "1" },
  memory: { ...STRING, default: "0.333" },
  "run-ms": { ...STRING, default: "20" },
  clients: { ...STRING, default: "4" },
  policy: { ...STRING, multiple: true, default: [] as string[] },
  seeds: { ...STRING, default: "3" },
  warmup: { ...STRING, default: "20" },
  seconds: { ...STRING, default: "30" },
  sweep: { type: "boolean", default: false },
  trace: STRING,
  directory: STRING,
} as const;

const LAMBDAS = 60;
/** There are not many more sets of at most three of the 32 packages. */
const MOST_LAMBDAS = 5_000;
/** scikit-learn, and what it needs, takes more than a lambda's 50 MB. */
const SANDBOX_MB = 256;
/** So that also the popular ones, of which a worker has several sandboxes, never have to give way. */
const MEMORY_FOR_ALL = 2;

type Flags = OptionValues<typeof OPTIONS>;

const scenariosOf = ({ skew: skewText, memory, sweep, trace }: Flags): Scenario[] => {
  const skew = numberOf("skew", skewText, { least: 0, most: 10, fraction: true });
  const memoryShare = numberOf("memory", memory, { least: 0.01, most: 100, fraction: true });
  const popularity = trace === undefined ? `popularity n^-${skew}` : "calls as recorded";
  const asked = { label: `${popularity}, memory for ${memoryShare} of the lambdas`, skew, memoryShare };
  if (!sweep) return [asked];
  const forAll = { ...asked, label: `${popularity}, memory for all`, memoryShare: MEMORY_FOR_ALL };
  // Who is called how often is the trace's to say.
  if (trace !== undefined) return [asked, forAll];
  const evenly = "all called equally often";
  return [
    asked,
    { ...asked, label: `${evenly}, memory for ${memoryShare} of the lambdas`, skew: 0 },
    forAll,
    { ...forAll, label: `${evenly}, memory for all`, skew: 0 },
  ];
};

const policiesOf = ({ policy }: Flags): readonly string[] => {
  const unknown = policy.find((name) => !POLICIES.includes(name));
  if (unknown !== undefined) throw benchError("OL_BENCH_USAGE", `--policy: there is no ${unknown}`);
  return policy.length === 0 ? POLICIES : [...new Set(policy)];
};

const recordedIn = async (file: string | undefined): Promise<RecordedCalls | undefined> =>
  file === undefined ? undefined : readRecordedCalls(file);

const lambdasOf = ({ lambdas, trace }: Flags, recorded: RecordedCalls | undefined): number => {
  if (trace !== undefined && lambdas !== undefined)
    throw benchError("OL_BENCH_USAGE", "--lambdas: how many there are, the trace says");
  const wanted = lambdas ?? String(recorded?.lambdas ?? LAMBDAS);
  return numberOf(trace === undefined ? "lambdas" : "trace: lambdas", wanted, {
    least: 1,
    most: MOST_LAMBDAS,
  });
};

const optionsOf = async (flags: Flags, progress: Progress): Promise<ClusterRunOptions> => {
  const whole = (name: "workers" | "slots" | "seeds" | "warmup" | "seconds", most: number, least = 1) =>
    numberOf(name, flags[name], { least, most });
  const options = {
    seeds: Array.from({ length: whole("seeds", 100) }, (_, at) => at + 1),
    policies: policiesOf(flags),
    workers: whole("workers", 64),
    slots: whole("slots", 64),
    clientsPerSlot: numberOf("clients", flags.clients, { least: 0.1, most: 100, fraction: true }),
    runMs: numberOf("run-ms", flags["run-ms"], { least: 0, most: 10_000, fraction: true }),
    sandboxMb: SANDBOX_MB,
    scenarios: scenariosOf(flags),
    warmupMs: whole("warmup", 3_600, 0) * 1_000,
    measureMs: whole("seconds", 3_600) * 1_000,
    directory: flags.directory === undefined ? undefined : resolve(flags.directory),
    progress,
  };
  const recorded = await recordedIn(flags.trace);
  const lambdas = lambdasOf(flags, recorded);
  const data = await loadZygoteData();
  const lines = await loadImportLines();
  // Who calls whom is drawn elsewhere.
  const workload = { lambdas, calls: 0, skew: 1 };
  return {
    ...options,
    recorded,
    lambdasOf: (seed) => generateMixed(data, lines, { ...workload, seed }).lambdas,
  };
};

/** `ol-bench cluster`. */
export const CLUSTER: NamedCommand = namedCommand("cluster", {
  about: "plays lambdas with packages to real workers behind a real balancer, with each policy in turn",
  options: OPTIONS,
  help,
  more: "Installs packages from the index into a directory of its own first. docs/benchmarks.md explains the figures.",
  run: async (flags, progress) => runCluster(await optionsOf(flags, progress)),
  format: formatCluster,
  plot: plotCluster,
});
