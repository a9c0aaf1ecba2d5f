import type { StepEnd, StepReport } from "@ol/sandbox";

/** What a start was made of: a step's name and what it took, in ms. */
export type Steps = readonly (readonly [name: string, ms: number])[];

const NS_PER_MS = 1e6;

const between = (fromNs: bigint, toNs: bigint): number => Number(toNs - fromNs) / NS_PER_MS;

/** Each from the end of the one before. */
const lengthsOf = (process: string, ends: readonly StepEnd[]): [string, number][] =>
  ends
    .slice(1)
    .map(({ step, atNs }, at) => [`${process}: ${step}`, between((ends[at] as StepEnd).atNs, atNs)]);

/**
 * What the broker and the leaf took for each step, and what lay between them and this process. `askedNs` and `readyNs`: when the
 * sandbox was asked for here, and when its code was known to be loaded. `fresh`: its process was forked for it; for one that had waited,
 * what it did before it was wanted is left out.
 */
export const stepsOf = (
  { broker, leaf }: StepReport,
  askedNs: bigint,
  readyNs: bigint,
  fresh: boolean,
): Steps => {
  const [reached] = broker;
  const [begun] = leaf;
  const loaded = leaf.at(-1);
  if (reached === undefined || begun === undefined || loaded === undefined) return [];
  const wanted = fresh ? leaf : leaf.slice(leaf.findIndex(({ step }) => step === "assignment"));
  return [
    ["to the broker", between(askedNs, reached.atNs)],
    ...lengthsOf("broker", broker),
    ...(fresh ? ([["to the zygote", between(reached.atNs, begun.atNs)]] as const) : []),
    ...lengthsOf("leaf", wanted),
    ["from the leaf", between(loaded.atNs, readyNs)],
  ];
};
