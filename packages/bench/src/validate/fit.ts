import { type Costs, DEFAULT_COSTS } from "../virtual/costs.ts";
import type { PackageCosts } from "../virtual/lambdas.ts";
import { nameOf, type ZygoteData } from "../zygotes/data.ts";
import type { TracedCall } from "./traced-calls.ts";

/** What was measured while one call at a time was made. */
export interface Observed {
  /** Cold calls, each in a worker with memory for hardly any sandbox. */
  readonly cold: readonly TracedCall[];
  /** Warm calls of a lambda that does nothing. */
  readonly warm: readonly TracedCall[];
  /** How long each of the cold ones waited besides, without the CPU. */
  readonly waitMs: number;
  /** CPU time for each warm call: of who calls, and of the worker's process. */
  readonly clientMs: number;
  readonly workerMs: number;
  /** CPU time of worker, broker, sandboxes and all for each cold call; undefined if it cannot be known here. */
  readonly treeMs: number | undefined;
  /** What each sandbox holds, on average; undefined if it cannot be known here. */
  readonly heldMb: number | undefined;
}

/** What the simulator is to be given. */
export interface Fitted {
  readonly costs: Costs;
  readonly packages: PackageCosts;
  /** How many times as long importing takes as was known before. */
  readonly importRatio: number;
}

const meanOf = (values: readonly number[]): number =>
  values.length === 0 ? 0 : values.reduce((sum, value) => sum + value, 0) / values.length;

/** What packages cost here, each on average over the calls that imported it; those that none did, as they were once measured, times as much as the others take. */
const fitPackages = (
  cold: readonly TracedCall[],
  { costs: known }: Pick<ZygoteData, "costs">,
): Pick<Fitted, "packages" | "importRatio"> => {
  const seen = new Map<string, { ms: number; mb: number }[]>();
  for (const { costs } of cold)
    for (const [pin, cost] of costs) {
      const name = nameOf(pin);
      const list = seen.get(name);
      if (list === undefined) seen.set(name, [cost]);
      else list.push(cost);
    }
  let [measuredMs, knownMs] = [0, 0];
  for (const [name, list] of seen) {
    measuredMs += known.has(name) ? meanOf(list.map(({ ms }) => ms)) : 0;
    knownMs += known.get(name)?.ms ?? 0;
  }
  const importRatio = knownMs === 0 ? 1 : measuredMs / knownMs;
  const names = new Set([...known.keys(), ...seen.keys()]);
  const packages = new Map(
    [...names].map((name) => {
      const { top = [], requires = [], ms: knownPackageMs = 0, mb: knownMb = 0 } = known.get(name) ?? {};
      const list = seen.get(name);
      const ms = list === undefined ? knownPackageMs * importRatio : meanOf(list.map((cost) => cost.ms));
      const mb = list === undefined ? knownMb : meanOf(list.map((cost) => cost.mb));
      return [name, { ms, mb, top, requires }];
    }),
  );
  return { packages, importRatio };
};

const importsOf = ({ costs }: TracedCall): number => [...costs.values()].reduce((sum, { ms }) => sum + ms, 0);

/** The parameters that calls one after the other tell; how much they are in each other's way is another matter. */
export const fitCosts = (observed: Observed, data: Pick<ZygoteData, "costs">): Fitted => {
  const { cold, warm, waitMs, clientMs, workerMs, treeMs, heldMb } = observed;
  const importedMb = meanOf(
    cold.map(({ costs }) => [...costs.values()].reduce((sum, { mb }) => sum + mb, 0)),
  );
  const guestMs = meanOf(warm.map(({ runMs }) => runMs));
  const forkMs = meanOf(cold.map((call) => call.forkMs));
  const importsMs = meanOf(cold.map(importsOf));
  const loadMs = Math.max(meanOf(cold.map(({ importMs }) => importMs)) - importsMs, 0);
  // What waits for memory waits for another sandbox's end.
  const endMs = meanOf(cold.filter(({ memoryMs }) => memoryMs > 0).map(({ memoryMs }) => memoryMs));
  const { destroyMsPerMb } = DEFAULT_COSTS;
  const known = workerMs + guestMs + forkMs + loadMs + importsMs + endMs;
  return {
    ...fitPackages(cold, data),
    costs: {
      ...DEFAULT_COSTS,
      clientMs,
      workerMs,
      guestMs,
      lateMs: Math.max(meanOf(cold.map(({ runMs }) => runMs)) - waitMs - guestMs, 0),
      forkMs,
      restockMs: treeMs === undefined ? DEFAULT_COSTS.restockMs : Math.max(treeMs - known, 0),
      loadMs,
      importFactor: 1,
      guestMb: heldMb === undefined ? DEFAULT_COSTS.guestMb : Math.max(heldMb - importedMb, 1),
      destroyMs: Math.max(endMs - destroyMsPerMb * importedMb, 0),
    },
  };
};

/** Halvings of what the efficiency may be: to a hundredth. */
const HALVINGS = 7;

/**
 * How much a second core adds: so much that as many calls are answered as were in reality while several imported at once. `perSecWith` says how
 * many a second there are with an efficiency; more with more.
 */
export const fitEfficiency = async (
  realPerSec: number,
  perSecWith: (efficiency: number) => Promise<number>,
): Promise<number> => {
  let [low, high] = [0, 1];
  if ((await perSecWith(high)) <= realPerSec) return high;
  for (let halving = 0; halving < HALVINGS; halving += 1) {
    const middle = (low + high) / 2;
    if ((await perSecWith(middle)) < realPerSec) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
};
