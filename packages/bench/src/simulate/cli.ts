import { type NamedCommand, namedCommand } from "../command.ts";
import { benchError } from "../errors.ts";
import { numberOf } from "../options.ts";
import { align } from "../table.ts";
import { comparePolicies, type SimulateResult } from "./compare.ts";
import { trialsFor } from "./trials.ts";

const help = `  --workers=N        default 16
  --slots=N          calls that a worker runs at once; default 8
  --sandboxes=N      sandboxes that a worker's memory holds; default 40, at least slots + 1
  --zygotes=N        package sets that its memory for zygotes holds; default 4
  --functions=N      default 100 for each worker
  --per-set=N        functions that share a package set, on average; default 4
  --skew=X           the n-th function is called n^-X as often as the first; default 1
  --run-ms=X         how long a function's own code runs, on average; default 20
  --clients=X        for each slot of all workers, each calls again when it is answered; default 4
  --balancers=N      in front of the same workers, each without knowing of the others; default 1
  --policy=NAME      only those whose name begins so; may be given several times
  --seeds=N          how many clusters; default 3
  --seconds=N        measured, of virtual time, after as long to warm up; default 20`;

const STRING = { type: "string" } as const;

const OPTIONS = {
  workers: { ...STRING, default: "16" },
  slots: { ...STRING, default: "8" },
  sandboxes: { ...STRING, default: "40" },
  zygotes: { ...STRING, default: "4" },
  functions: STRING,
  "per-set": { ...STRING, default: "4" },
  skew: { ...STRING, default: "1" },
  "run-ms": { ...STRING, default: "20" },
  clients: { ...STRING, default: "4" },
  balancers: { ...STRING, default: "1" },
  policy: { ...STRING, multiple: true, default: [] as string[] },
  seeds: { ...STRING, default: "3" },
  seconds: { ...STRING, default: "20" },
} as const;

const FUNCTIONS_PER_WORKER = 100;

const percent = (share: number): string => (100 * share).toFixed(share < 0.1 ? 1 : 0);

/** The comparison as people read it. */
export const formatSimulation = ({ options, halfPerSec, rows }: SimulateResult): string => {
  const head = ["policy", "req/s", "cold %", "imports %", "p50 ms", "p99 ms", "refused %", ""];
  const body = rows.map(({ policy, saturated, half }) => [
    policy,
    saturated.perSec.toFixed(0),
    percent(saturated.coldShare),
    percent(saturated.importShare),
    half.p50Ms.toFixed(0),
    half.p99Ms.toFixed(0),
    percent(half.refusedShare),
    "",
  ]);
  return [
    `${options.workers} workers with ${options.slots} slots and memory for ${options.sandboxes} sandboxes and ${options.zygotes} zygotes each, ${options.balancers} balancers; ${options.functionCount} functions, popularity n^-${options.skew}`,
    "",
    ...align([head, ...body]),
    "",
    `req/s, cold and imports with all workers busy; p50, p99 and refused with ${halfPerSec.toFixed(0)} calls a second, half of the most.`,
    `Means over ${options.seeds.length} clusters. cold: calls that waited for a new sandbox; imports: for their packages as well.`,
  ].join("\n");
};

/** `ol-bench simulate`. */
export const SIMULATE: NamedCommand = namedCommand("simulate", {
  about: "compares the balancer's policies over a cluster in virtual time",
  options: OPTIONS,
  help,
  more: "Nothing is started or measured: the same options give the same figures on every machine. docs/balancer.md explains them.",
  run: async (flags, progress) => {
    const whole = (
      name: "workers" | "slots" | "sandboxes" | "zygotes" | "balancers" | "seeds" | "seconds",
      least = 1,
    ) => numberOf(name, flags[name], { least });
    const some = (name: "per-set" | "skew" | "clients" | "run-ms", least: number) =>
      numberOf(name, flags[name], { least, fraction: true });
    const workers = whole("workers");
    const slots = whole("slots");
    const trials = trialsFor(slots).filter(
      ({ label }) => flags.policy.length === 0 || flags.policy.some((name) => label.startsWith(name)),
    );
    if (trials.length === 0)
      throw benchError("OL_BENCH_USAGE", `--policy: there is none of ${flags.policy.join(", ")}`);
    const measureMs = whole("seconds") * 1000;
    return comparePolicies({
      seeds: Array.from({ length: whole("seeds") }, (_, at) => at + 1),
      workers,
      slots,
      sandboxes: whole("sandboxes", slots + 1),
      zygotes: whole("zygotes", 0),
      balancers: whole("balancers"),
      functionCount:
        flags.functions === undefined
          ? FUNCTIONS_PER_WORKER * workers
          : numberOf("functions", flags.functions, { least: 1 }),
      functionsPerSet: some("per-set", 1),
      skew: some("skew", 0),
      clientsPerSlot: some("clients", 0.1),
      runMs: some("run-ms", 0.1),
      warmupMs: measureMs,
      measureMs,
      trials,
      progress,
    });
  },
  format: formatSimulation,
});
