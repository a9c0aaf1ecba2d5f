import { availableParallelism } from "node:os";

import { EVICTION_POLICIES, type EvictionPolicyName } from "@ol/sandbox";

import { virtualLambda } from "../cluster/simulated.ts";
import { type NamedCommand, namedCommand } from "../command.ts";
import { benchError } from "../errors.ts";
import { generateMixed, loadImportLines } from "../mixed/workload.ts";
import { numberOf, numbersOf, type OptionValues, wordsOf } from "../options.ts";
import { align } from "../table.ts";
import { loadZygoteData } from "../zygotes/data.ts";
import { DEFAULT_COSTS, slowed } from "./costs.ts";
import { type Dimensions, type GridOptions, type GridRow, runGrid } from "./grid.ts";
import { sweep } from "./sweep.ts";

const POLICIES = ["RoundRobin", "LeastConnections", "Hash", "LARD", "Cost"];
const EVICTIONS = Object.keys(EVICTION_POLICIES) as EvictionPolicyName[];
const ZYGOTES = ["off", "auto"] as const;

const help = `Each of these takes one value or several, as in --memory=2000,4000:
  --slots=N          calls that a worker runs at once; default 4
  --memory=N         MB for its sandboxes and zygotes; default 4096
  --eviction=NAME    ${EVICTIONS.join(", ")}; default: default
  --zygotes=NAME     ${ZYGOTES.join(", ")}; default auto
  --cores=N          of the one machine that all of it runs on, or "unlimited"; default 2
  --clients=N        each calls again when it is answered; default 16
  --per-sec=N        instead of clients: calls a second, whatever happens
  --workers=N        behind a balancer, if they are several; default 1
  --policy=NAME      the balancer's: ${POLICIES.join(", ")}; default LARD

These take one:
  --lambdas=N        each with a package set of its own; default 60
  --skew=X           the n-th lambda is called n^-X as often as the first; default 1
  --burst=N          with --per-sec: so many come at once; default 1
  --sandbox-mb=N     limit of each sandbox; default 256
  --run-ms=X         how long a call takes without the CPU; default 20
  --cpu-ms=X         and how much CPU time; default 0
  --slowness=X       all work but the lambdas' own takes so many times as long; default 1
  --seeds=N          how many sets of lambdas; default 3
  --seconds=N        measured, of virtual time, after as long to warm up; default 20
  --threads=N        default: as many as this machine has cores; the figures do not depend on it`;

const STRING = { type: "string" } as const;

const OPTIONS = {
  slots: { ...STRING, default: "4" },
  memory: { ...STRING, default: "4096" },
  eviction: { ...STRING, default: "default" },
  zygotes: { ...STRING, default: "auto" },
  cores: { ...STRING, default: "2" },
  clients: STRING,
  "per-sec": STRING,
  workers: { ...STRING, default: "1" },
  policy: { ...STRING, default: "LARD" },
  lambdas: { ...STRING, default: "60" },
  skew: { ...STRING, default: "1" },
  burst: { ...STRING, default: "1" },
  "sandbox-mb": { ...STRING, default: "256" },
  "run-ms": { ...STRING, default: "20" },
  "cpu-ms": { ...STRING, default: "0" },
  slowness: { ...STRING, default: "1" },
  seeds: { ...STRING, default: "3" },
  seconds: { ...STRING, default: "20" },
  threads: STRING,
} as const;

const CLIENTS = "16";
/** There are not many more sets of at most three of the 32 packages. */
const MOST_LAMBDAS = 5_000;

type Flags = OptionValues<typeof OPTIONS>;

const wholes = (name: string, text: string): readonly number[] => numbersOf(name, text, { least: 1 });
const whole = (name: string, text: string, most?: number): number =>
  numberOf(name, text, { least: 1, ...(most !== undefined && { most }) });
const some = (name: string, text: string, least: number, most?: number): number =>
  numberOf(name, text, { least, fraction: true, ...(most !== undefined && { most }) });

const coresOf = (text: string): readonly number[] =>
  text.split(",").map((value) => (value === "unlimited" ? Number.POSITIVE_INFINITY : whole("cores", value)));

const dimensionsOf = (flags: Flags): Dimensions => {
  const { clients, "per-sec": perSec } = flags;
  if (clients !== undefined && perSec !== undefined)
    throw benchError("OL_BENCH_USAGE", "--clients and --per-sec: one of them");
  return {
    workers: wholes("workers", flags.workers),
    policy: wordsOf("policy", flags.policy, POLICIES),
    cores: coresOf(flags.cores),
    slots: wholes("slots", flags.slots),
    memory: wholes("memory", flags.memory),
    eviction: wordsOf("eviction", flags.eviction, EVICTIONS),
    zygotes: wordsOf("zygotes", flags.zygotes, ZYGOTES),
    load: perSec === undefined ? wholes("clients", clients ?? CLIENTS) : wholes("per-sec", perSec),
  };
};

const optionsOf = async (flags: Flags): Promise<GridOptions> => {
  const data = await loadZygoteData();
  const lines = await loadImportLines();
  const lambdas = whole("lambdas", flags.lambdas, MOST_LAMBDAS);
  const runMs = some("run-ms", flags["run-ms"], 0);
  const cpuMs = some("cpu-ms", flags["cpu-ms"], 0);
  const measureMs = whole("seconds", flags.seconds) * 1_000;
  const seeds = whole("seeds", flags.seeds);
  return {
    seeds: Array.from({ length: seeds }, (_, at) => at + 1),
    lambdasOf: (seed) =>
      generateMixed(data, lines, { seed, lambdas, calls: 0, skew: 1 }).lambdas.map((lambda) => ({
        ...virtualLambda(lambda, runMs),
        cpuMs,
      })),
    packages: data.costs,
    costs: slowed(DEFAULT_COSTS, some("slowness", flags.slowness, 0.01, 1_000)),
    sandboxMb: whole("sandbox-mb", flags["sandbox-mb"]),
    skew: some("skew", flags.skew, 0, 10),
    kind: flags["per-sec"] === undefined ? "closed" : "open",
    burst: whole("burst", flags.burst),
    warmupMs: measureMs,
    measureMs,
  };
};

const percent = (share: number): string => (100 * share).toFixed(share < 0.1 ? 1 : 0);

/** The rows as people read them: of the settings those that differ. */
export const formatGrid = (dimensions: Dimensions, rows: readonly GridRow[]): string => {
  const varied = (Object.keys(dimensions) as (keyof Dimensions)[]).filter(
    (name) => dimensions[name].length > 1,
  );
  const head = [
    "calls/s",
    "cold %",
    "imports %",
    "p50 ms",
    "p99 ms",
    "p99 queue ms",
    "refused %",
    "CPU %",
    "",
  ];
  const body = rows.map(({ point, run }) => [
    "",
    ...varied.map((name) => String(point[name])),
    run.perSec.toFixed(0),
    percent(run.coldShare),
    percent(run.importShare),
    run.p50Ms.toFixed(0),
    run.p99Ms.toFixed(0),
    run.p99QueueMs.toFixed(0),
    percent(run.refusedShare),
    percent(run.cpuShare),
    "",
  ]);
  return align([["", ...varied, ...head], ...body]).join("\n");
};

/** `ol-bench sweep`. */
export const SWEEP: NamedCommand = namedCommand("sweep", {
  about: "plays a worker in virtual time, with its own code, for every combination of settings",
  options: OPTIONS,
  help,
  more: "Nothing is started or measured: the same options give the same figures on every machine. docs/simulator.md explains them.",
  run: async (flags, progress) => {
    const dimensions = dimensionsOf(flags);
    const options = await optionsOf(flags);
    const threads =
      flags.threads === undefined ? availableParallelism() : whole("threads", flags.threads, 1_024);
    const rows = await runGrid(dimensions, options, (runs) => {
      let done = 0;
      return sweep(runs, threads, () => {
        done += 1;
        progress(`${done} of ${runs.length} runs`);
      });
    });
    return { dimensions, rows };
  },
  format: ({ dimensions, rows }) => formatGrid(dimensions, rows),
});
