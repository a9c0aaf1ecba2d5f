import * as fc from "fast-check";

import type {
  Build,
  Decision,
  NodeId,
  PackageSet,
  PinId,
  PinReport,
  Saved,
  ZygotePolicy,
} from "../src/index.ts";

const PINS = 14;
const pinAt = (place: number): PinId => `p${place}==1+${place.toString(16).padStart(12, "0")}`;

/** Sets of some pins and all that these need; who needs whom is the same for all of them. */
export const packageSets: fc.Arbitrary<readonly PackageSet[]> = fc
  .record({
    // Cycles too: packages may need each other.
    needs: fc.array(fc.array(fc.nat(PINS - 1), { maxLength: 1 }), { minLength: PINS, maxLength: PINS }),
    asked: fc.array(fc.uniqueArray(fc.nat(PINS - 1), { maxLength: 5, size: "max" }), {
      minLength: 1,
      maxLength: 5,
    }),
  })
  .map(({ needs, asked }) => asked.map((places) => setOf(places, needs)));

const setOf = (places: readonly number[], needs: readonly (readonly number[])[]): PackageSet => {
  const found = new Set<number>();
  const waiting = [...places];
  for (let place = waiting.pop(); place !== undefined; place = waiting.pop()) {
    if (found.has(place)) continue;
    found.add(place);
    waiting.push(...(needs[place] ?? []));
  }
  const pins = [...found].map(pinAt);
  const requires = new Map([...found].map((place) => [pinAt(place), (needs[place] ?? []).map(pinAt)]));
  return { key: pins.join(" "), pins, requires };
};

/** Whether the set has all of these pins, and they all that they need of it. */
const isClosedIn = (mask: ReadonlySet<PinId>, { pins, requires }: PackageSet): boolean =>
  [...mask].every(
    (pin) =>
      pins.includes(pin) &&
      (requires.get(pin) ?? []).every((needed) => mask.has(needed) || !pins.includes(needed)),
  );

/** Something that happens to a policy. */
export type Happening =
  | {
      readonly kind: "starts";
      readonly set: number;
      readonly times: number;
      readonly ms: number;
      readonly mb: number;
      /** The guest does not say what it imported. */
      readonly silent: boolean;
    }
  /** `percent`: of what was estimated. */
  | { readonly kind: "built"; readonly percent: number }
  | { readonly kind: "failed"; readonly unfit: boolean }
  | { readonly kind: "gone"; readonly which: number }
  | { readonly kind: "excluded"; readonly pin: number }
  | { readonly kind: "wait"; readonly ms: number }
  | { readonly kind: "restart" };

const kind = <Kind extends Happening["kind"]>(value: Kind): fc.Arbitrary<Kind> => fc.constant(value);

const starts = fc.record({
  kind: kind("starts"),
  set: fc.nat(4),
  times: fc.integer({ min: 1, max: 4 }),
  ms: fc.integer({ min: 0, max: 300 }),
  mb: fc.integer({ min: 0, max: 10 }),
  silent: fc.boolean(),
});
const built = fc.record({ kind: kind("built"), percent: fc.integer({ min: 20, max: 300 }) });
const failed = fc.record({ kind: kind("failed"), unfit: fc.boolean() });
const gone = fc.record({ kind: kind("gone"), which: fc.nat(20) });
const excluded = fc.record({ kind: kind("excluded"), pin: fc.nat(PINS - 1) });
const wait = fc.record({ kind: kind("wait"), ms: fc.nat(1_000_000) });

// Without fast-check's preference for small numbers: imports that take no time teach nothing.
export const happenings: fc.Arbitrary<readonly Happening[]> = fc.noBias(
  fc.array(
    fc.oneof(
      { weight: 60, arbitrary: starts },
      { weight: 30, arbitrary: built },
      { weight: 2, arbitrary: failed },
      { weight: 3, arbitrary: gone },
      { weight: 1, arbitrary: excluded },
      { weight: 4, arbitrary: wait },
      { weight: 1, arbitrary: fc.record({ kind: kind("restart") }) },
    ),
    { minLength: 50, maxLength: 150, size: "max" },
  ),
);

interface Zygote {
  readonly parent: NodeId | undefined;
  readonly mask: ReadonlySet<PinId>;
  mb: number;
}

/**
 * Does what a policy says, as the keeper of the tree would, and throws as soon as it says what it must not: a mask that is
 * not its parent's and more, a fork with a pin that is not declared, an excluded pin, more memory than there is, two
 * builds at a time, an end of what is not there.
 */
export class ZygoteWorld {
  readonly #make: () => ZygotePolicy;
  readonly #budgetMb: number;
  readonly #sets: readonly PackageSet[];
  #policy: ZygotePolicy;
  #nowMs = 0;
  readonly #ready = new Map<NodeId, Zygote>();
  /** Of those that ended, what lived on was forked from. */
  readonly #masks = new Map<NodeId, ReadonlySet<PinId>>();
  readonly #excluded = new Set<PinId>();
  #building: Build | undefined;
  /** Everything that was decided, and where each sandbox was forked from. */
  readonly history: unknown[] = [];
  /** How many starts were from a zygote. */
  hits = 0;

  constructor(make: () => ZygotePolicy, budgetMb: number, sets: readonly PackageSet[]) {
    this.#make = make;
    this.#budgetMb = budgetMb;
    this.#sets = sets;
    this.#policy = make();
  }

  run(events: readonly Happening[]): this {
    for (const event of events) {
      this.#happen(event);
      this.#check();
    }
    return this;
  }

  saved(): Saved {
    return this.#policy.save(this.#nowMs);
  }

  #happen(event: Happening): void {
    if (event.kind === "starts") for (let time = 0; time < event.times; time += 1) this.#start(event);
    else if (event.kind === "built" || event.kind === "failed") this.#endBuild(event);
    else if (event.kind === "gone") this.#gone(event.which);
    else if (event.kind === "excluded") this.#exclude(pinAt(event.pin));
    else if (event.kind === "wait") this.#nowMs += event.ms;
    else this.#restart();
  }

  #start({ set: place, ms, mb, silent }: Happening & { kind: "starts" }): void {
    const set = this.#sets[place % this.#sets.length];
    if (set === undefined) throw new Error("there is no set");
    const node = this.#policy.choose(set);
    this.history.push(node);
    const zygote = node === undefined ? undefined : this.#ready.get(node);
    if (node !== undefined) {
      this.hits += 1;
      if (zygote === undefined) throw new Error(`${node} is not ready`);
      for (const pin of zygote.mask)
        if (!set.pins.includes(pin)) throw new Error(`${node} has ${pin}, which is not declared`);
    }
    const missing = set.pins.filter((pin) => zygote?.mask.has(pin) !== true);
    const costs = new Map<PinId, PinReport>(
      missing.map((pin, index) => [
        pin,
        { ms: ms / (index + 1), mb: mb / (index + 1), modules: [pin.split("==")[0] ?? ""] },
      ]),
    );
    this.#nowMs += 10;
    this.#do(this.#policy.started({ set, node, nowMs: this.#nowMs, costs: silent ? undefined : costs }));
  }

  #endBuild(event: Happening & { kind: "built" | "failed" }): void {
    const build = this.#building;
    if (build === undefined) return;
    this.#building = undefined;
    this.#nowMs += 100;
    if (event.kind === "built") {
      const mb = Math.max((build.estimate.mb * event.percent) / 100, 1);
      this.#ready.set(build.node, { parent: build.parent, mask: new Set(build.mask), mb });
      this.#masks.set(build.node, new Set(build.mask));
      const report = { ms: (build.estimate.ms * event.percent) / 100, mb };
      this.#do(this.#policy.built(build.node, report, this.#nowMs));
      return;
    }
    const unfit = event.unfit ? build.pins.slice(0, 1) : [];
    for (const pin of unfit) this.#excluded.add(pin);
    this.#do(this.#policy.buildFailed(build.node, { unfit, reason: "test" }, this.#nowMs));
  }

  #gone(which: number): void {
    const ids = [...this.#ready.keys()];
    const id = ids[which % Math.max(ids.length, 1)];
    if (id === undefined) return;
    this.#ready.delete(id);
    this.#do(this.#policy.gone(id, this.#nowMs));
  }

  #exclude(pin: PinId): void {
    this.#excluded.add(pin);
    this.#do(this.#policy.excluded(pin, "test", this.#nowMs));
  }

  /** All processes end; the time begins anew. What was saved must come back the same. */
  #restart(): void {
    const saved = this.saved();
    const text = JSON.stringify(saved);
    this.#policy = this.#make();
    this.#nowMs = 0;
    this.#ready.clear();
    this.#masks.clear();
    this.#building = undefined;
    const problem = this.#policy.restore(JSON.parse(text) as unknown, this.#nowMs);
    if (problem !== undefined) throw new Error(problem);
    if (JSON.stringify(this.saved()) !== text) throw new Error("what was restored is not what was saved");
    this.#do(this.#policy.next(this.#nowMs));
  }

  #do(decision: Decision): void {
    this.history.push(decision);
    for (const id of decision.evict) {
      if (!this.#ready.delete(id)) throw new Error(`${id} is not there, and cannot be ended`);
      for (const [child, { parent }] of this.#ready)
        if (parent === id) throw new Error(`${id} is to be ended, and ${child} was forked from it`);
    }
    if (decision.build !== undefined) this.#begin(decision.build);
  }

  #begin(build: Build): void {
    if (this.#building !== undefined) throw new Error("two builds at a time");
    const { node, parent, pins, mask } = build;
    if (this.#masks.has(node)) throw new Error(`${node} was used before`);
    const above = parent === undefined ? { mask: new Set<PinId>() } : this.#ready.get(parent);
    if (above === undefined) throw new Error(`${parent} is to be forked from, and not ready`);
    const expected = new Set([...above.mask, ...pins]);
    if (pins.length === 0 || expected.size !== above.mask.size + pins.length || mask.length !== expected.size)
      throw new Error(`the mask of ${node} is not its parent's and its own pins`);
    for (const pin of mask) {
      if (!expected.has(pin)) throw new Error(`the mask of ${node} has ${pin} besides`);
      if (this.#excluded.has(pin)) throw new Error(`${node} would have ${pin}, which is excluded`);
    }
    if (!this.#sets.some((set) => isClosedIn(new Set(mask), set)))
      throw new Error(`no set has all of ${mask.join()}, or what these need is not among them`);
    this.#building = build;
  }

  #check(): void {
    const { usedMb, nodes } = this.#policy.snapshot(this.#nowMs);
    const heldMb = [...this.#ready.values()].reduce(
      (sum, { mb }) => sum + mb,
      this.#building?.estimate.mb ?? 0,
    );
    if (heldMb > usedMb + 0.001) throw new Error(`${heldMb} MB are held, and ${usedMb} MB counted`);
    if (usedMb > this.#budgetMb + 0.001) throw new Error(`${usedMb} MB of ${this.#budgetMb} MB`);
    const ready = nodes.filter(({ state }) => state === "ready").map(({ node }) => node);
    if (ready.length !== this.#ready.size || !ready.every((node) => this.#ready.has(node)))
      throw new Error(`ready are ${[...this.#ready.keys()].join()}, and not ${ready.join()}`);
  }
}
