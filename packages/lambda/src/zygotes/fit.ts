import { LEAST_NODE_MB, MOST_DEPTH } from "./constants.ts";
import { FitProblem, type FitRecord, type FitSet, isSubset, type Mask } from "./fit-problem.ts";
import type { PinId } from "./policy.ts";
import type { ZygoteTreeJson } from "./tree-json.ts";

export interface FitOptions {
  /** The most that the tree's zygotes may hold together. */
  readonly memoryMb: number;
  /** Pins that cannot be in a zygote. */
  readonly excluded?: Iterable<PinId>;
}

export interface FittedTree {
  /** For `import_cache_tree`. */
  readonly tree: ZygoteTreeJson;
  /** What the tree's zygotes hold together. */
  readonly memoryMb: number;
  /** What the recorded starts would have imported, on average, without any zygote and with this tree, in ms. */
  readonly withoutMs: number;
  readonly withMs: number;
}

/** Each extends the masks that are looked at; more find next to nothing. */
const ROUNDS = 3;
/** Passes over the tree in a round, each of which tries to replace every zygote. */
const MOST_PASSES = 20;
/** A step that gains less than so much of what there is to gain is none. */
const LEAST_STEP = 1e-9;

/** Some masks, and what they are worth as a tree: each is forked from the largest of those that it contains. */
class Family {
  readonly masks: readonly Mask[];
  readonly mb: number;
  /** What all starts together are spared. */
  readonly value: number;
  /** By set: what each start of it is spared. */
  readonly best: readonly number[];
  /** By mask: what the one that it is forked from holds. */
  readonly #parentMb: readonly number[];

  constructor(masks: readonly Mask[], sets: readonly FitSet[]) {
    this.masks = masks;
    this.#parentMb = masks.map((mask) => parentOf(mask, masks)?.mb ?? 0);
    this.mb = masks.reduce(
      (sum, { mb }, place) => sum + mb - (this.#parentMb[place] as number) + LEAST_NODE_MB,
      0,
    );
    const best = sets.map(() => 0);
    for (const { users, worthMs } of masks)
      for (const place of users) best[place] = Math.max(best[place] as number, worthMs);
    this.best = best;
    this.value = sets.reduce((sum, { starts }, place) => sum + starts * (best[place] as number), 0);
  }

  gain(mask: Mask, sets: readonly FitSet[]): number {
    let gain = 0;
    for (const place of mask.users)
      gain += (sets[place] as FitSet).starts * Math.max(mask.worthMs - (this.best[place] as number), 0);
    return gain;
  }

  /** What one more would hold, less what those no longer hold that would be forked from it. */
  moreMb(mask: Mask): number {
    let more = mask.mb - (parentOf(mask, this.masks)?.mb ?? 0) + LEAST_NODE_MB;
    for (const [place, child] of this.masks.entries()) {
      const parentMb = this.#parentMb[place] as number;
      if (child.mb > mask.mb && mask.mb > parentMb && isSubset(mask.bits, child.bits))
        more -= mask.mb - parentMb;
    }
    return more;
  }
}

const parentOf = (mask: Mask, masks: readonly Mask[]): Mask | undefined => {
  let parent: Mask | undefined;
  for (const other of masks)
    if (
      other !== mask &&
      other.mb <= mask.mb &&
      other.mb > (parent?.mb ?? -1) &&
      isSubset(other.bits, mask.bits)
    )
      parent = other;
  return parent;
};

/** Adds masks while they fit: always the one of the most gain, or of the most gain per MB. */
const fill = (
  begun: Family,
  pool: readonly Mask[],
  { sets, memoryMb, perMb }: { sets: readonly FitSet[]; memoryMb: number; perMb: boolean },
): Family => {
  let family = begun;
  for (;;) {
    let best: Mask | undefined;
    let bestValue = 0;
    for (const mask of pool) {
      const gain = family.gain(mask, sets);
      if (gain <= 0 || (!perMb && gain <= bestValue)) continue;
      const moreMb = family.moreMb(mask);
      const value = perMb ? gain / Math.max(moreMb, LEAST_NODE_MB) : gain;
      if (value <= bestValue || family.mb + moreMb > memoryMb) continue;
      best = mask;
      bestValue = value;
    }
    if (best === undefined) return family;
    family = new Family([...family.masks, best], sets);
  }
};

/** Takes one mask after the other out, and fills what became free in another way, as long as that helps. */
const improve = (
  begun: Family,
  pool: readonly Mask[],
  { sets, memoryMb }: { sets: readonly FitSet[]; memoryMb: number },
): Family => {
  let family = begun;
  for (let pass = 0; pass < MOST_PASSES; pass += 1) {
    const before = family.value;
    for (const mask of family.masks) {
      if (!family.masks.includes(mask)) continue;
      const without = new Family(
        family.masks.filter((other) => other !== mask),
        sets,
      );
      if (without.mb > memoryMb) continue;
      const rest = pool.filter((other) => other !== mask);
      for (const perMb of [true, false]) {
        const other = fill(without, rest, { sets, memoryMb, perMb });
        if (other.value > family.value * (1 + LEAST_STEP)) family = other;
      }
    }
    if (family.value <= before * (1 + LEAST_STEP)) break;
  }
  return family;
};

const search = (problem: FitProblem, memoryMb: number): Family => {
  const { sets } = problem;
  let pool = problem.basicMasks();
  let family = new Family([], sets);
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const perMb of [true, false]) {
      const begun = round === 0 ? new Family([], sets) : family;
      const found = improve(fill(begun, pool, { sets, memoryMb, perMb }), pool, { sets, memoryMb });
      if (found.value > family.value) family = found;
    }
    pool = problem.extended(family.masks);
  }
  return family;
};

/** As the file has it: each node names what it has besides its parent. */
const toTree = (masks: readonly Mask[]): ZygoteTreeJson => {
  const root = { packages: [], children: [] as ZygoteTreeJson[] };
  const placed: { mask: Mask; depth: number; children: ZygoteTreeJson[] }[] = [];
  for (const mask of [...masks].sort((a, b) => a.pins.length - b.pins.length || a.mb - b.mb)) {
    const above = parentOf(
      mask,
      placed.filter(({ depth }) => depth < MOST_DEPTH).map((one) => one.mask),
    );
    const parent = placed.find((one) => one.mask === above);
    const own = mask.pins.filter((pin) => above?.pins.includes(pin) !== true);
    const children: ZygoteTreeJson[] = [];
    (parent?.children ?? root.children).push({
      packages: own.map((pin) => pin.replace(/\+[^+]*$/u, "")),
      children,
    });
    placed.push({ mask, depth: (parent?.depth ?? 0) + 1, children });
  }
  return root;
};

/**
 * The tree that would have served recorded starts best, as far as local search finds it: it knows afterwards what a policy
 * has to guess. Pure, and the same for the same records; takes seconds for some hundred sets.
 */
export const fitTree = (records: readonly FitRecord[], options: FitOptions): FittedTree => {
  const problem = new FitProblem(records, new Set(options.excluded ?? []));
  const { masks, mb, best } = search(problem, options.memoryMb);
  const starts = problem.sets.reduce((sum, set) => sum + set.starts, 0);
  const mean = (value: (set: FitSet, place: number) => number): number =>
    starts === 0
      ? 0
      : problem.sets.reduce((sum, set, place) => sum + set.starts * value(set, place), 0) / starts;
  return {
    tree: toTree(masks),
    memoryMb: mb,
    withoutMs: mean(({ allMs }) => allMs),
    withMs: mean(({ allMs }, place) => allMs - (best[place] as number)),
  };
};
