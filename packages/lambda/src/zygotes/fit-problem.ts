import { closureOf } from "./closure.ts";
import { clamp, FORK_MS_PER_MB, LEAST_NODE_MB, MOST_MB, MOST_MS } from "./constants.ts";
import type { Cost, PackageSet, PinId } from "./policy.ts";

/** One recorded start. */
export interface FitRecord {
  readonly set: PackageSet;
  /** What it imported itself cost, by pin. */
  readonly costs: ReadonlyMap<PinId, Cost>;
}

/** What a zygote could have imported. */
export interface Mask {
  readonly bits: Uint32Array;
  /** In the order in which they can be imported. */
  readonly pins: readonly PinId[];
  /** What a start from it is spared, over one from the root. */
  readonly worthMs: number;
  readonly mb: number;
  /** Places of the sets that can be forked from it. */
  readonly users: readonly number[];
}

/** Starts of one set. */
export interface FitSet {
  readonly set: PackageSet;
  readonly members: ReadonlySet<PinId>;
  readonly bits: Uint32Array;
  readonly starts: number;
  /** What it imports when forked from the root. */
  readonly allMs: number;
}

/** So many are compared with each other at most, those with most starts. */
const MOST_SETS = 1_000;
/** Masks that are looked at, at most: those that would spare most if they were alone. */
const MOST_MASKS = 4_000;
const WORD = 32;

/** A loop, since nearly all of the search's time is spent here. */
export const isSubset = (small: Uint32Array, large: Uint32Array): boolean => {
  for (let index = 0; index < small.length; index += 1)
    if (((small[index] as number) & ~(large[index] as number)) !== 0) return false;
  return true;
};

/** A trace as a question: which masks should there be? */
export class FitProblem {
  readonly sets: readonly FitSet[];
  readonly #costs: ReadonlyMap<PinId, Cost>;
  readonly #places: ReadonlyMap<PinId, number>;
  readonly #excluded: ReadonlySet<PinId>;
  readonly #masks = new Map<string, Mask>();

  constructor(records: readonly FitRecord[], excluded: ReadonlySet<PinId>) {
    this.#excluded = excluded;
    this.#costs = meanCosts(records);
    const counts = new Map<string, { set: PackageSet; starts: number }>();
    for (const { set } of records) {
      const key = [...set.pins].sort().join(" ");
      const count = counts.get(key) ?? { set, starts: 0 };
      counts.set(key, { set: count.set, starts: count.starts + 1 });
    }
    const busiest = [...counts.values()].sort((a, b) => b.starts - a.starts).slice(0, MOST_SETS);
    const pins = new Set(busiest.flatMap(({ set }) => set.pins));
    this.#places = new Map([...pins].map((pin, place) => [pin, place]));
    this.sets = busiest.map(({ set, starts }) => ({
      set,
      members: new Set(set.pins),
      bits: this.#bits(set.pins),
      starts,
      allMs: this.#sum(set.pins).ms,
    }));
  }

  /** What could be worth importing: what a pin needs, what a set has, and what two sets have in common. */
  basicMasks(): Mask[] {
    for (const one of this.sets) {
      for (const pin of one.set.pins) this.#add(closureOf(pin, one.set, one.members), one);
      this.#add(one.set.pins, one);
      for (const other of this.sets) {
        if (other === one) break;
        const common = one.set.pins.filter((pin) => other.members.has(pin));
        if (common.length > 0 && common.length < one.set.pins.length) this.#add(common, one);
      }
    }
    return this.#best();
  }

  /** What these would be with one more pin of a set that is forked from them. */
  extended(masks: readonly Mask[]): Mask[] {
    for (const mask of masks)
      for (const place of mask.users) {
        const user = this.sets[place] as FitSet;
        for (const pin of user.set.pins)
          if (!mask.pins.includes(pin))
            this.#add([...mask.pins, ...closureOf(pin, user.set, user.members)], user);
      }
    return this.#best();
  }

  #add(pins: readonly PinId[], { set, members }: FitSet): void {
    // What needs a pin that is not among these, or an excluded one, cannot be imported without it.
    const wanted = new Set(pins);
    const order = new Set<PinId>();
    for (const pin of wanted) {
      const closure = closureOf(pin, set, members);
      if (closure.every((needed) => wanted.has(needed) && !this.#excluded.has(needed)))
        for (const needed of closure) order.add(needed);
    }
    if (order.size === 0) return;
    const bits = this.#bits(order);
    const key = bits.join(" ");
    if (this.#masks.has(key)) return;
    const { ms, mb } = this.#sum(order);
    const worthMs = ms - FORK_MS_PER_MB * (mb + LEAST_NODE_MB);
    const users = this.sets.flatMap((other, place) => (isSubset(bits, other.bits) ? [place] : []));
    if (worthMs > 0) this.#masks.set(key, { bits, pins: [...order], worthMs, mb, users });
  }

  #best(): Mask[] {
    const alone = (mask: Mask): number =>
      mask.worthMs * mask.users.reduce((sum, place) => sum + (this.sets[place] as FitSet).starts, 0);
    const ranked = [...this.#masks.values()].map((mask) => ({ mask, value: alone(mask) }));
    return ranked
      .sort((a, b) => b.value - a.value)
      .slice(0, MOST_MASKS)
      .map(({ mask }) => mask);
  }

  #bits(pins: Iterable<PinId>): Uint32Array {
    const bits = new Uint32Array(Math.ceil(this.#places.size / WORD));
    for (const pin of pins) {
      const place = this.#places.get(pin) as number;
      const word = Math.floor(place / WORD);
      bits[word] = (bits[word] as number) | (1 << (place % WORD));
    }
    return bits;
  }

  #sum(pins: Iterable<PinId>): Cost {
    let ms = 0;
    let mb = 0;
    for (const pin of pins) {
      ms += this.#costs.get(pin)?.ms ?? 0;
      mb += this.#costs.get(pin)?.mb ?? 0;
    }
    return { ms, mb };
  }
}

/** Over the starts that imported a pin themselves: which of the others had it from a zygote, the trace does not say. */
const meanCosts = (records: readonly FitRecord[]): Map<PinId, Cost> => {
  const sums = new Map<PinId, { ms: number; mb: number; count: number }>();
  for (const { costs } of records)
    for (const [pin, cost] of costs) {
      const sum = sums.get(pin) ?? { ms: 0, mb: 0, count: 0 };
      sum.ms += clamp(cost.ms, MOST_MS);
      sum.mb += clamp(cost.mb, MOST_MB);
      sum.count += 1;
      sums.set(pin, sum);
    }
  return new Map([...sums].map(([pin, { ms, mb, count }]) => [pin, { ms: ms / count, mb: mb / count }]));
};
