import { LEAST_NODE_MB, type PackageSet, type PinId } from "@ol/lambda";

import { summarize } from "../statistics.ts";
import { nameOf, type PackageCost, pinOf, type ZygoteData } from "./data.ts";
import { Random } from "./random.ts";

/** What a workload is generated from. Whoever changes a default makes results incomparable with earlier ones. */
export interface WorkloadOptions {
  readonly seed: number;
  readonly functions: number;
  /** Mean time between two starts, in ms. */
  readonly everyMs: number;
  readonly durationMs: number;
  /** The n-th of the functions is called n^-skew as often as the first. */
  readonly skew: number;
  /** How often some functions become popular that were not, and the other way round, in ms; how large a share of them. */
  readonly driftMs: number;
  readonly driftShare: number;
  /** Memory for so large a share of what one zygote for each function would hold. */
  readonly memoryShare: number;
}

export const DEFAULT_WORKLOAD: Omit<WorkloadOptions, "seed"> = {
  functions: 100,
  everyMs: 2_000,
  durationMs: 4 * 3_600_000,
  skew: 1,
  driftMs: 30 * 60_000,
  driftShare: 0.1,
  memoryShare: 0.2,
};

/** What people ask for by name, of the packages that were measured. */
const ASKED_FOR = `
  aiohttp attrs beautifulsoup4 boto3 celery click cryptography django duckdb fastapi flask google-cloud-storage grpcio
  httpx jinja2 lxml matplotlib networkx nltk numpy openai opencv-python-headless openpyxl orjson pandas pillow polars
  protobuf psutil psycopg psycopg2-binary pyarrow pydantic pymongo pyyaml redis requests rich scikit-learn scipy
  sqlalchemy sympy tornado tqdm`
  .trim()
  .split(/\s+/u);

/** One sandbox is started. */
export interface Arrival {
  readonly atMs: number;
  readonly set: PackageSet;
}

export interface Workload {
  readonly arrivals: readonly Arrival[];
  readonly sets: readonly PackageSet[];
  readonly costs: ReadonlyMap<PinId, PackageCost>;
  /** The most that zygotes may hold. */
  readonly budgetMb: number;
}

const medianOf = (values: readonly number[]): number => summarize(values).median;

/** Packages that were not measured, mostly small ones of build tools, cost what the median of those does that were. */
const medianCost = (costs: readonly PackageCost[]): PackageCost => ({
  ms: medianOf(costs.map(({ ms }) => ms)),
  mb: medianOf(costs.map(({ mb }) => mb)),
  bareMs: medianOf(costs.map(({ bareMs }) => bareMs)),
  bareMb: medianOf(costs.map(({ bareMb }) => bareMb)),
  top: [],
  requires: [],
});

/** One to three packages with all that they need: what somebody writes who begins a lambda. */
const freshRequirements = (data: ZygoteData, random: Random): string[] => {
  const byName = new Map(data.measured.map((requirement) => [nameOf(requirement), requirement]));
  const found = new Set<string>();
  const waiting = Array.from({ length: 1 + random.below(3) }, () => random.pick(ASKED_FOR));
  for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
    const requirement = byName.get(name);
    if (requirement === undefined || found.has(requirement)) continue;
    found.add(requirement);
    waiting.push(...(data.costs.get(name)?.requires ?? []));
  }
  return [...found];
};

const packageSet = (requirements: readonly string[], data: ZygoteData): PackageSet => {
  const byName = new Map(requirements.map((requirement) => [nameOf(requirement), pinOf(requirement)]));
  const pins = [...byName.values()].sort();
  const requires = new Map<PinId, PinId[]>();
  for (const [name, pin] of byName) {
    const needed = data.costs.get(name)?.requires ?? [];
    requires.set(
      pin,
      needed.flatMap((other) => byName.get(other) ?? []),
    );
  }
  return { key: pins.join(" "), pins, requires };
};

/** Functions in the order of their popularity, and again each time it has drifted. */
class Popularity {
  readonly #order: number[];
  readonly #upTo: number[] = [];
  readonly #random: Random;

  constructor(functions: number, skew: number, random: Random) {
    this.#order = Array.from({ length: functions }, (_, index) => index);
    this.#random = random;
    let sum = 0;
    for (let rank = 1; rank <= functions; rank += 1) this.#upTo.push((sum += rank ** -skew));
  }

  draw(): number {
    const at = this.#random.next() * (this.#upTo.at(-1) as number);
    return this.#order[this.#upTo.findIndex((upTo) => at < upTo)] as number;
  }

  drift(share: number): void {
    for (let swaps = Math.round((share * this.#order.length) / 2); swaps > 0; swaps -= 1) {
      const [one, other] = [this.#random.below(this.#order.length), this.#random.below(this.#order.length)];
      const kept = this.#order[one] as number;
      this.#order[one] = this.#order[other] as number;
      this.#order[other] = kept;
    }
  }
}

/** The mixed workload: half of its functions require what a real project does, half a few packages that people like. */
export const generateWorkload = (data: ZygoteData, options: WorkloadOptions): Workload => {
  const random = new Random(options.seed);
  const sets = Array.from({ length: options.functions }, (_, index) =>
    packageSet(index % 2 === 0 ? random.pick(data.projects) : freshRequirements(data, random), data),
  );
  const unmeasured = medianCost([...data.costs.values()]);
  const pins = new Set(sets.flatMap((set) => set.pins));
  const costs = new Map([...pins].map((pin) => [pin, data.costs.get(nameOf(pin)) ?? unmeasured]));
  const popularity = new Popularity(options.functions, options.skew, random);
  const arrivals: Arrival[] = [];
  let driftsAt = options.driftMs;
  for (
    let atMs = random.exponential(options.everyMs);
    atMs < options.durationMs;
    atMs += random.exponential(options.everyMs)
  ) {
    for (; driftsAt <= atMs; driftsAt += options.driftMs) popularity.drift(options.driftShare);
    arrivals.push({ atMs, set: sets[popularity.draw()] as PackageSet });
  }
  const allMb = sets.reduce((sum, set) => sum + mbOf(set.pins, costs) + LEAST_NODE_MB, 0);
  return { arrivals, sets, costs, budgetMb: allMb * options.memoryShare };
};

/** The same where the root has not imported the standard library. */
export const withBareRoot = (workload: Workload): Workload => ({
  ...workload,
  costs: new Map(
    [...workload.costs].map(([pin, cost]) => [pin, { ...cost, ms: cost.bareMs, mb: cost.bareMb }]),
  ),
});

const mbOf = (pins: readonly PinId[], costs: ReadonlyMap<PinId, PackageCost>): number =>
  pins.reduce((sum, pin) => sum + (costs.get(pin)?.mb ?? 0), 0);
