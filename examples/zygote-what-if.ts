// What if? Plays starts of lambdas to zygote policies in virtual time: how long a start takes, with which zygotes.
// Usage: node examples/dist/zygote-what-if.js BUDGET_MB PACKAGES [PACKAGES ...], each "pandas requests": one lambda's packages,
// the first lambda started most often. Costs of imports are those that ol-bench has measured.
import {
  GrowingTree,
  NoZygotes,
  type PackageSet,
  parseZygoteTree,
  StaticTree,
  type ZygoteChooser,
  type ZygotePolicy,
} from "@ol/lambda";
import { loadZygoteData, nameOf, pinOf, simulate, type Workload, type ZygoteData } from "ol-bench";

const refuse = (why: string): never => {
  console.error(why);
  process.exit(2);
};

const STARTS = 2_000;
const EVERY_MS = 2_000;

/** A lambda's packages with all that they need, as a lock would have them. */
const packageSet = (text: string, data: ZygoteData): PackageSet => {
  const pinned = new Map(data.measured.map((requirement) => [nameOf(requirement), pinOf(requirement)]));
  const pins = new Set<string>();
  const requires = new Map<string, string[]>();
  const visit = (name: string): void => {
    const pin = pinned.get(name);
    if (pin === undefined)
      return refuse(`${name} was never measured; there are ${[...pinned.keys()].join(", ")}`);
    if (pins.has(pin)) return;
    pins.add(pin);
    const needed = (data.costs.get(name)?.requires ?? []).filter((other) => pinned.has(other));
    requires.set(
      pin,
      needed.map((other) => pinned.get(other) ?? ""),
    );
    for (const other of needed) visit(other);
  };
  for (const name of text.split(/\s+/u).filter(Boolean)) visit(name);
  return { key: [...pins].toSorted().join(" "), pins: [...pins].toSorted(), requires };
};

/** Starts one after the other; the n-th lambda comes 1/n as often as the first, in a fixed order. */
const workloadOf = (sets: readonly PackageSet[], data: ZygoteData, budgetMb: number): Workload => {
  const credit = sets.map(() => 0);
  const arrivals = Array.from({ length: STARTS }, (_, start) => {
    for (const at of credit.keys()) credit[at] = (credit[at] ?? 0) + 1 / (at + 1);
    const next = credit.indexOf(Math.max(...credit));
    credit[next] = (credit[next] ?? 0) - credit.reduce((sum, one) => sum + one, 0);
    return { atMs: start * EVERY_MS, set: sets[next] as PackageSet };
  });
  const pins = new Set(sets.flatMap((set) => set.pins));
  const costs = new Map(
    [...pins].flatMap((pin) => {
      const cost = data.costs.get(nameOf(pin));
      return cost === undefined ? [] : [[pin, cost] as const];
    }),
  );
  return { arrivals, sets, costs, budgetMb };
};

/** Forks only from a zygote with at least half of the lambda's packages: what would that cost? */
const halfOrNothing: ZygoteChooser = (set, candidates) =>
  candidates
    .filter(({ mask }) => mask.size * 2 >= set.pins.length)
    .toSorted((one, other) => other.worthMs - one.worthMs)[0]?.id;

const [budget = "200", ...lambdas] = process.argv.slice(2);
const budgetMb = Number(budget);
if (!(budgetMb > 0)) refuse("BUDGET_MB must be a number above 0");
const data = await loadZygoteData();
const asked = lambdas.length > 0 ? lambdas : ["pandas", "pandas requests", "flask", "numpy", "scikit-learn"];
const workload = workloadOf(
  asked.map((text) => packageSet(text, data)),
  data,
  budgetMb,
);
const plan = parseZygoteTree({
  packages: [],
  children: asked.map((text) => ({ packages: text.split(/\s+/u), children: [] })),
});
const policies: Readonly<Record<string, ZygotePolicy>> = {
  off: new NoZygotes(),
  "one for each lambda": new StaticTree({ plan, budgetMb }),
  auto: new GrowingTree({ budgetMb }),
  "auto, half or nothing": new GrowingTree({ budgetMb, chooser: halfOrNothing }),
};
console.table(
  Object.entries(policies).map(([policy, made]) => {
    const { meanMs, p99Ms, builds, mostMb } = simulate(workload, made);
    return {
      policy,
      meanMs: Math.round(meanMs * 10) / 10,
      p99Ms: Math.round(p99Ms),
      builds,
      mostMb: Math.round(mostMb),
    };
  }),
);
