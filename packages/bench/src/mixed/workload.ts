import { type PackageCost, readData, type ZygoteData, nameOf } from "../zygotes/data.ts";
import { Random } from "../zygotes/random.ts";

/** What a workload is generated from. Whoever changes a default makes results incomparable with earlier ones. */
export interface MixedOptions {
  readonly seed: number;
  readonly lambdas: number;
  readonly calls: number;
  /** The n-th of the lambdas is called n^-skew as often as the first. */
  readonly skew: number;
}

export const DEFAULT_MIXED: Omit<MixedOptions, "seed"> = { lambdas: 40, calls: 600, skew: 1 };

const MOST_ASKED_FOR = 3;

/** A lambda that imports a few packages and then answers. */
export interface MixedLambda {
  readonly name: string;
  /** What it needs, all of it, `name==version`, sorted. */
  readonly pins: readonly string[];
  /** Its first lines. */
  readonly imports: readonly string[];
}

export interface MixedWorkload {
  readonly lambdas: readonly MixedLambda[];
  /** Places of the lambdas that are called, one after the other. */
  readonly calls: readonly number[];
}

/** The packages that lambdas ask for, by name, with the line that imports each. */
export type ImportLines = Readonly<Record<string, string>>;

/** Fails with OL_BENCH_BASELINE_CHANGED. */
export const loadImportLines = async (): Promise<ImportLines> =>
  (await readData("mixed-packages.json")) as ImportLines;

/** These packages with all that they need. */
const closureOf = (
  asked: Iterable<string>,
  measured: ReadonlyMap<string, string>,
  costs: ReadonlyMap<string, PackageCost>,
): string[] => {
  const found = new Set<string>();
  const waiting = [...asked];
  for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
    const pin = measured.get(name);
    if (pin === undefined || found.has(pin)) continue;
    found.add(pin);
    waiting.push(...(costs.get(name)?.requires ?? []));
  }
  return [...found].sort();
};

const draw = (random: Random, upTo: readonly number[]): number => {
  const at = random.next() * (upTo.at(-1) as number);
  return upTo.findIndex((limit) => at < limit);
};

/** Lambdas of one to three packages each, no two of them with the same, and calls of them. The same for the same seed. */
export const generateMixed = (
  data: ZygoteData,
  lines: ImportLines,
  { seed, lambdas: count, calls, skew }: MixedOptions,
): MixedWorkload => {
  const random = new Random(seed);
  // Of one package two versions were measured; the others need the first.
  const measured = new Map([...data.measured].reverse().map((pin) => [nameOf(pin), pin]));
  const names = Object.keys(lines);
  const drawn = new Set<string>();
  while (drawn.size < count) {
    const asked = new Set(Array.from({ length: 1 + random.below(MOST_ASKED_FOR) }, () => random.pick(names)));
    drawn.add([...asked].sort().join(" "));
  }
  const lambdas = [...drawn].map((key, place) => {
    const asked = key.split(" ");
    return {
      name: `mixed-${seed}-${place}`,
      pins: closureOf(asked, measured, data.costs),
      imports: asked.map((name) => lines[name] as string),
    };
  });
  const upTo: number[] = [];
  for (let rank = 1, sum = 0; rank <= count; rank += 1) upTo.push((sum += rank ** -skew));
  return { lambdas, calls: Array.from({ length: calls }, () => draw(random, upTo)) };
};
