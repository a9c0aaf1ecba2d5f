import type {
  FunctionStats,
  HistogramStats,
  LambdaManager,
  PackageStats,
  ZygoteStats,
  ZygoteTreeStats,
} from "@ol/lambda";
import type { SandboxPool } from "@ol/sandbox";
import { Counter, Gauge, type Metric, Registry } from "prom-client";

import type { RegistryStats } from "./registry-code-source.ts";

/** One value with its labels. */
type Sample = readonly [labels: Readonly<Record<string, string>>, value: number];

/** The worker's numbers for Prometheus. Counted where things happen; read only when asked for. */
export class Metrics {
  readonly #registry = new Registry();

  constructor(manager: LambdaManager, pool: SandboxPool, registry?: () => RegistryStats) {
    this.#worker(manager);
    this.#pool(pool);
    this.#packages(() => manager.stats().packages);
    if (registry !== undefined) this.#code(registry);
    this.#lambdas(() => manager.stats().functions);
    this.#zygotes(() => manager.stats().zygotes);
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  text(): Promise<string> {
    return this.#registry.metrics();
  }

  #worker(manager: LambdaManager): void {
    this.#counter("ol_worker_calls_total", OUTCOMES_HELP, ["outcome"], () => outcomes(manager.counter));
    this.#counter(
      "ol_worker_errors_total",
      "What went wrong, over all lambdas: how a lambda itself failed, or an error's code.",
      ["cause"],
      () => entries(manager.counter.errors, "cause"),
    );
    this.#gauge("ol_worker_slots", "Calls this worker runs at once.", () => manager.load().slots);
    this.#gauge("ol_worker_running_calls", "Calls running now.", () => manager.load().busy);
    this.#gauge("ol_worker_queued_calls", "Calls waiting now.", () => manager.load().queue);
    this.#gauge("ol_worker_draining", "1 while the worker takes no new calls.", () =>
      Number(manager.load().draining),
    );
    this.#gauge("ol_worker_resident_memory_bytes", "Resident memory of the worker's own process.", () =>
      process.memoryUsage.rss(),
    );
  }

  #pool(pool: SandboxPool): void {
    this.#gauge("ol_worker_sandboxes", "Sandboxes that exist.", () => pool.stats().sandboxes);
    this.#gauge("ol_worker_sandbox_memory_bytes", "Memory promised to sandboxes.", () =>
      bytes(pool.stats().promisedMb),
    );
    this.#gauge("ol_worker_sandbox_memory_used_bytes", "Memory that sandboxes hold.", async () =>
      bytes(await pool.usedMb()),
    );
    this.#gauge("ol_worker_sandbox_memory_limit_bytes", "Memory that may be promised to sandboxes.", () =>
      bytes(pool.stats().memoryMb),
    );
    const total = (name: string, help: string, value: () => number): void =>
      this.#counter(name, help, [], () => [[{}, value()]]);
    total("ol_worker_sandboxes_created_total", "Sandboxes made.", () => pool.stats().created);
    total(
      "ol_worker_sandboxes_evicted_total",
      "Sandboxes destroyed because their memory was needed.",
      () => pool.stats().evicted,
    );
  }

  #packages(stats: () => PackageStats | undefined): void {
    const total = (name: string, help: string, key: keyof PackageStats): void =>
      this.#counter(`ol_worker_packages_${name}`, help, [], () => [[{}, stats()?.[key] ?? 0]]);
    this.#gauge(
      "ol_worker_packages_providing",
      "Sets of packages being provided: somebody waits for them.",
      () => stats()?.providing ?? 0,
    );
    total("resolved_total", "Sets of requirements that the index was asked about.", "resolved");
    total("installed_total", "Packages installed.", "installed");
    total("installed_bytes_total", "Bytes of the packages installed.", "installedBytes");
    total("compiled_total", "Packages compiled.", "compiled");
    total("failed_total", "Sets of packages that could not be provided.", "failed");
  }

  #code(stats: () => RegistryStats): void {
    const total = (name: string, help: string, value: () => number): void =>
      this.#counter(`ol_worker_registry_${name}_total`, help, [], () => [[{}, value()]]);
    total("pulls", "Bundles fetched from the registry and unpacked.", () => stats().pulls);
    total("pulled_bytes", "Bytes of those bundles, packed.", () => stats().pulledBytes);
    total("pull_failures", "Bundles that could not be fetched or unpacked.", () => stats().pullFailures);
    total(
      "revalidations",
      "Times that the registry was asked where a tag points.",
      () => stats().revalidations,
    );
    total("failures", "How many of these failed.", () => stats().failures);
    this.#gauge(
      "ol_worker_registry_failing_seconds",
      "For how long all requests to the registry have failed; 0 if the last one did not.",
      () => secondsSince(stats().failingSinceMs),
    );
  }

  #lambdas(functions: () => readonly FunctionStats[]): void {
    const each = (samples: (fn: FunctionStats) => readonly Sample[]) => (): Sample[] =>
      functions().flatMap((fn) =>
        samples(fn).map(([labels, value]): Sample => [{ lambda: fn.name, ...labels }, value]),
      );
    this.#counter(
      "ol_lambda_calls_total",
      OUTCOMES_HELP,
      ["lambda", "outcome"],
      each(({ calls }) => outcomes(calls)),
    );
    this.#counter(
      "ol_lambda_errors_total",
      "What went wrong: how the lambda itself failed (exception, bad-input, bad-output), or an error's code.",
      ["lambda", "cause"],
      each(({ calls }) => entries(calls.errors, "cause")),
    );
    this.#counter(
      "ol_lambda_starts_total",
      "Calls that were answered: those that waited for a new sandbox (cold), and all others (warm).",
      ["lambda", "start"],
      each(({ calls }) => [
        [{ start: "cold" }, calls.cold],
        [{ start: "warm" }, calls.answered - calls.cold],
      ]),
    );
    this.#counter(
      "ol_lambda_phase_seconds_total",
      "Where the time of calls that were answered went: queue, memory, fork, import, run.",
      ["lambda", "phase"],
      each(({ phases }) =>
        Object.entries(phases).map(([name, ms]) => [{ phase: name.slice(0, -"Ms".length) }, ms / 1000]),
      ),
    );
    this.#times("ol_lambda_queue_seconds", "Time that calls waited.", functions, (fn) => fn.queueMs);
    this.#times("ol_lambda_run_seconds", "Time that calls ran.", functions, (fn) => fn.runMs);
    this.#labelled(
      "ol_lambda_instances",
      "Instances by state.",
      ["lambda", "state"],
      each(({ instances }) => entries(instances, "state")),
    );
    this.#labelled(
      "ol_lambda_stale_seconds",
      "For how long the registry could not say whether the code is the newest; 0 if it can.",
      ["lambda"],
      each(({ staleSinceMs }) => [[{}, secondsSince(staleSinceMs)]]),
    );
    this.#labelled(
      "ol_lambda_queued_calls",
      "Calls waiting now.",
      ["lambda"],
      each(({ queued }) => [[{}, queued]]),
    );
  }

  #zygotes(stats: () => ZygoteStats | undefined): void {
    const trees = (sample: (tree: ZygoteTreeStats) => number) => (): Sample[] =>
      (stats()?.trees ?? []).map((tree): Sample => [{ network: tree.network }, sample(tree)]);
    this.#counter(
      "ol_worker_zygote_starts_total",
      "Sandboxes of lambdas with packages, by what they were forked from: a zygote with all of them (hit), with some (partial), with none (miss).",
      ["use"],
      () => entries({ ...stats()?.uses }, "use"),
    );
    this.#labelled("ol_worker_zygotes", "Zygotes with packages.", ["network"], trees(countReady));
    this.#labelled(
      "ol_worker_zygote_memory_bytes",
      "Memory that zygotes with packages hold, each besides its parent.",
      ["network"],
      trees(({ usedMb }) => bytes(usedMb)),
    );
    const total = (name: string, help: string, value: (tree: ZygoteTreeStats) => number): void =>
      this.#counter(name, help, ["network"], trees(value));
    total("ol_worker_zygotes_built_total", "Zygotes made.", ({ built }) => built);
    total("ol_worker_zygotes_failed_total", "Zygotes that could not be made.", ({ failed }) => failed);
    total("ol_worker_zygotes_lost_total", "Zygotes that ended unasked.", ({ lost }) => lost);
  }

  #gauge(name: string, help: string, value: () => number | Promise<number>): void {
    const gauge = new Gauge({
      name,
      help,
      registers: [],
      async collect() {
        this.set(await value());
      },
    });
    this.#registry.registerMetric(gauge);
  }

  #labelled(name: string, help: string, labelNames: string[], samples: () => readonly Sample[]): void {
    const gauge = new Gauge({
      name,
      help,
      labelNames,
      registers: [],
      collect() {
        this.reset();
        for (const [labels, value] of samples()) this.set(labels, value);
      },
    });
    this.#registry.registerMetric(gauge);
  }

  #counter(name: string, help: string, labelNames: string[], samples: () => readonly Sample[]): void {
    const counter = new Counter({
      name,
      help,
      labelNames,
      registers: [],
      collect() {
        this.reset();
        for (const [labels, value] of samples()) this.inc(labels, value);
      },
    });
    this.#registry.registerMetric(counter);
  }

  #times(
    name: string,
    help: string,
    functions: () => readonly FunctionStats[],
    times: (fn: FunctionStats) => HistogramStats,
  ): void {
    const about = { name, help, type: "histogram", aggregator: "sum" };
    const values = (): readonly object[] =>
      functions().flatMap((fn) => histogramSamples(name, fn.name, times(fn)));
    // The library's own histogram takes values one by one; these were counted already. A registry only asks for this.
    const histogram = { ...about, get: () => Promise.resolve({ ...about, values: values() }) };
    this.#registry.registerMetric(histogram as unknown as Metric);
  }
}

const secondsSince = (sinceMs: number | undefined): number =>
  sinceMs === undefined ? 0 : Math.max(0, Date.now() - sinceMs) / 1000;

const countReady = ({ nodes }: ZygoteTreeStats): number =>
  nodes.filter(({ state }) => state === "ready").length;

const OUTCOMES_HELP =
  "Calls by how they ended: answered by the lambda, cut short, left by their client, refused, or dropped since the client left before they began.";

const OUTCOMES = ["answered", "cut", "left", "refused", "dropped"] as const;

const outcomes = (counts: Readonly<Record<(typeof OUTCOMES)[number], number>>): Sample[] =>
  OUTCOMES.map((outcome) => [{ outcome }, counts[outcome]]);

const entries = (counts: Readonly<Record<string, number>>, label: string): Sample[] =>
  Object.entries(counts).map(([name, count]) => [{ [label]: name }, count]);

const histogramSamples = (
  name: string,
  lambda: string,
  { bounds, counts, sum }: HistogramStats,
): readonly object[] => {
  let below = 0;
  const buckets = [...bounds, Number.POSITIVE_INFINITY].map((bound, at) => {
    below += counts[at] as number;
    const le = bound === Number.POSITIVE_INFINITY ? "+Inf" : bound / 1000;
    return { metricName: `${name}_bucket`, exemplar: null, labels: { le, lambda }, value: below };
  });
  return [
    ...buckets,
    { metricName: `${name}_sum`, labels: { lambda }, value: sum / 1000 },
    { metricName: `${name}_count`, labels: { lambda }, value: below },
  ];
};

const bytes = (megabytes: number): number => megabytes * 1024 * 1024;
