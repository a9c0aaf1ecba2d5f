import type {
  Build,
  BuildReport,
  Decision,
  NodeId,
  PackageSet,
  PinId,
  PinReport,
  ZygotePolicy,
} from "../src/index.ts";

/** A pin by its name, of version 1 unless it says another: `a` is `a==1+...`. */
export const pin = (text: string): PinId => {
  const [name = "", version = "1"] = text.split("==");
  return `${name}==${version}+000000000000`;
};

/** A set of pins; `needs` by names. */
export const packageSet = (
  names: string,
  needs: Readonly<Record<string, string>> = {},
  provides?: Readonly<Record<string, string>>,
): PackageSet => {
  const pins = names.split(" ").filter(Boolean).map(pin);
  const byName = (record: Readonly<Record<string, string>>): [PinId, string[]][] =>
    Object.entries(record).map(([name, list]) => [pin(name), list.split(" ")]);
  const requires = new Map(byName(needs).map(([one, list]) => [one, list.map(pin)]));
  const set = { key: pins.join(" "), pins, requires };
  return provides === undefined ? set : { ...set, provides: new Map(byName(provides)) };
};

/** Does what a policy says, and says what happened; every pin costs what `costs` has for its name. */
export class ZygoteKeeper {
  readonly policy: ZygotePolicy;
  readonly #costs: Readonly<Record<string, Partial<PinReport>>>;
  nowMs = 0;
  building: Build | undefined;
  /** In the order in which they were to be ended. */
  readonly ended: NodeId[] = [];

  constructor(policy: ZygotePolicy, costs: Readonly<Record<string, Partial<PinReport>>> = {}) {
    this.policy = policy;
    this.#costs = costs;
  }

  /** Sandboxes start, one each second. Returns what the last was forked from. */
  start(set: PackageSet, times = 1): NodeId | undefined {
    let node: NodeId | undefined;
    for (let time = 0; time < times; time += 1) {
      this.nowMs += 1000;
      node = this.policy.choose(set);
      const mask = this.maskOf(node);
      const missing = set.pins.filter((one) => !mask.has(one));
      const costs = new Map(missing.map((one) => [one, this.costOf(one)]));
      this.#do(this.policy.started({ set, node, nowMs: this.nowMs, costs }));
    }
    return node;
  }

  /** The zygote that is being built is ready; nothing if there is none. */
  finish(report?: BuildReport): NodeId | undefined {
    const { building } = this;
    if (building === undefined) return undefined;
    this.building = undefined;
    this.#do(this.policy.built(building.node, report ?? building.estimate, this.nowMs));
    return building.node;
  }

  /** Starts until there is nothing more to build for this set. Returns what it is forked from then. */
  settle(set: PackageSet): NodeId | undefined {
    for (let round = 0; round < 50; round += 1) {
      this.start(set, 4);
      if (this.finish() === undefined) return this.policy.choose(set);
    }
    throw new Error("it builds without end");
  }

  fail(reason: string, unfit: readonly PinId[] = []): void {
    const { building } = this;
    if (building === undefined) throw new Error("nothing is being built");
    this.building = undefined;
    this.#do(this.policy.buildFailed(building.node, { reason, unfit }, this.nowMs));
  }

  gone(node: NodeId | undefined): void {
    if (node === undefined) throw new Error("there is no such zygote");
    this.#do(this.policy.gone(node, this.nowMs));
  }

  exclude(one: PinId): void {
    this.#do(this.policy.excluded(one, "it starts threads", this.nowMs));
  }

  next(): void {
    this.#do(this.policy.next(this.nowMs));
  }

  maskOf(node: NodeId | undefined): Set<PinId> {
    const mask = new Set<PinId>();
    const { nodes } = this.policy.snapshot(this.nowMs);
    for (let id = node; id !== undefined;) {
      const one = nodes.find((other) => other.node === id);
      for (const own of one?.pins ?? []) mask.add(own);
      id = one?.parent;
    }
    return mask;
  }

  costOf(one: PinId): PinReport {
    const name = one.split("==")[0] ?? "";
    return { ms: 0, mb: 0, modules: [name], ...this.#costs[name] };
  }

  #do({ evict, build }: Decision): void {
    this.ended.push(...evict);
    if (build !== undefined) this.building = build;
  }
}
