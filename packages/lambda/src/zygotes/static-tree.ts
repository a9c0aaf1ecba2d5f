import { chooseMostSparing, type ZygoteChooser } from "./chooser.ts";
import type { TreeNode } from "./node-tree.ts";
import type {
  BuildFailure,
  BuildReport,
  Decision,
  NodeId,
  PackageSet,
  PinId,
  PolicySnapshot,
  Saved,
  Start,
  ZygotePolicy,
} from "./policy.ts";
import { normalName, type PlannedNode, type WantedPackage } from "./tree-json.ts";
import { savedRecord, TreeState } from "./tree-state.ts";

const SAVED_VERSION = 1;
const NOTHING: Decision = { evict: [] };
/** A zygote that was used since is not ended for another one: else two that do not fit together would take turns. */
const IDLE_MS = 600_000;
const TAU_MS = 600_000;
/** The next start of a set that found no place asks again. */
const MOST_WANTED = 100;

/** A zygote of the plan as one set would have it. */
interface Step {
  /** What it has besides the step before. */
  readonly pins: readonly PinId[];
}

/** What a StaticTree is made from. */
export interface StaticTreeOptions {
  /** The tree, as `parseZygoteTree` read it. */
  readonly plan: PlannedNode;
  /**
   * The most that its zygotes may hold together. At the limit: those that were not used for ten minutes make way, or none is made.
   */
  readonly budgetMb: number;
  /** Which of its zygotes a sandbox is forked from; default `chooseMostSparing`. */
  readonly chooser?: ZygoteChooser;
}

/**
 * The policy `tree`: zygotes are those of a plan. A plan names packages, of which lambdas have versions: so a zygote of
 * the plan exists once for each combination of versions in use, with all that its packages need in these versions, and
 * is made when the first lambda that has all of that has started.
 */
export class StaticTree implements ZygotePolicy {
  readonly #plan: PlannedNode;
  readonly #state: TreeState;
  readonly #lastUseMs = new WeakMap<TreeNode, number>();
  /** Paths that are to be built, each set's once; the first is the one of which a zygote is being built. */
  readonly #wanted: { readonly set: PackageSet; readonly path: readonly Step[] }[] = [];

  constructor({ plan, budgetMb, chooser = chooseMostSparing }: StaticTreeOptions) {
    this.#plan = plan;
    this.#state = new TreeState(budgetMb, TAU_MS, chooser);
  }

  choose(set: PackageSet): NodeId | undefined {
    return this.#state.choose(set);
  }

  started(start: Start): Decision {
    const { set, nowMs } = start;
    const node = this.#state.forkedFrom(start);
    this.#state.learn(start, node);
    if (node !== undefined) {
      node.uses += 1;
      for (const above of node.chain()) {
        this.#lastUseMs.set(above, nowMs);
        above.credit(above.ms, nowMs, this.#state.tauMs);
      }
    }
    if (this.#wanted.length < MOST_WANTED && !this.#wanted.some((other) => other.set.key === set.key))
      this.#wanted.push({ set, path: this.#bestPath(set) });
    return this.next(nowMs);
  }

  next(nowMs: number): Decision {
    while (!this.#state.busy) {
      const wanted = this.#wanted[0];
      if (wanted === undefined) break;
      const decision = this.#build(wanted.set, wanted.path, nowMs);
      if (decision !== undefined) return decision;
      this.#wanted.shift();
    }
    return NOTHING;
  }

  built(id: NodeId, report: BuildReport, nowMs: number): Decision {
    const node = this.#state.built(id, report, nowMs);
    if (node === undefined) return this.next(nowMs);
    this.#lastUseMs.set(node, nowMs);
    return this.#after(this.#state.excess(node, nowMs), nowMs);
  }

  buildFailed(id: NodeId, failure: BuildFailure, nowMs: number): Decision {
    this.#wanted.shift();
    return this.#after(this.#state.failed(id, failure, nowMs), nowMs);
  }

  gone(id: NodeId, nowMs: number): Decision {
    this.#state.gone(id, nowMs);
    return this.next(nowMs);
  }

  excluded(pin: PinId, reason: string, nowMs: number): Decision {
    return this.#after(this.#state.exclude(pin, reason), nowMs);
  }

  save(nowMs: number): Saved {
    return { version: SAVED_VERSION, ...this.#state.save(nowMs) };
  }

  restore(saved: unknown, nowMs: number): string | undefined {
    const record = savedRecord(saved, SAVED_VERSION);
    return typeof record === "string" ? record : this.#state.restore(record, nowMs);
  }

  snapshot(nowMs: number): PolicySnapshot {
    return this.#state.snapshot(nowMs);
  }

  /** The zygotes of the plan, from the root's child on, that spare this set most; those that add nothing are left out. */
  #bestPath(set: PackageSet): readonly Step[] {
    const members = new Set(set.pins);
    const byName = new Map<string, PinId>(set.pins.map((pin) => [splitPin(pin).name, pin]));
    let best: readonly Step[] = [];
    let bestCost = { ms: 0, pins: 0 };
    const visit = (node: PlannedNode, path: readonly Step[], mask: ReadonlySet<PinId>): void => {
      const { ms } = this.#state.estimate([...mask]);
      if (ms > bestCost.ms || (ms === bestCost.ms && mask.size > bestCost.pins)) {
        best = path;
        bestCost = { ms, pins: mask.size };
      }
      for (const child of node.children) {
        const wanted = resolve(child.packages, byName);
        if (wanted === undefined) continue;
        const own = new Set(wanted.flatMap((pin) => this.#state.missing(pin, set, members, mask)));
        if (own.size === 0) visit(child, path, mask);
        else visit(child, [...path, { pins: [...own] }], new Set([...mask, ...own]));
      }
    };
    visit(this.#plan, [], new Set());
    return best;
  }

  /** Begins the first zygote of the path that is not there; undefined if there is none, or it cannot be. */
  #build(set: PackageSet, path: readonly Step[], nowMs: number): Decision | undefined {
    let parent: TreeNode | undefined;
    for (const { pins } of path) {
      const there = this.#state.alike(parent, pins);
      if (there === undefined) return this.#begin(set, parent, pins, nowMs);
      parent = there;
    }
    return undefined;
  }

  #begin(
    set: PackageSet,
    parent: TreeNode | undefined,
    pins: readonly PinId[],
    nowMs: number,
  ): Decision | undefined {
    const estimate = this.#state.estimate(pins);
    if (!this.#state.mayBuild([...(parent?.mask ?? []), ...pins], nowMs)) return undefined;
    const modules = this.#state.modules(pins, set.provides);
    if (modules.length === 0) return undefined;
    const missingMb = this.#state.tree.usedMb + estimate.mb - this.#state.budgetMb;
    const lastUse = (node: TreeNode): number => this.#lastUseMs.get(node) ?? node.sinceMs;
    const kept = this.#state.tree.nodes().filter((node) => nowMs - lastUse(node) < IDLE_MS);
    const victims = this.#state.tree.victims(
      missingMb,
      new Set([...kept, ...(parent?.chain() ?? [])]),
      this.#state.benefitAt(nowMs),
    );
    if (victims === undefined) return undefined;
    const [, build] = this.#state.begin({ parent, pins, estimate, benefit: estimate.ms }, nowMs, modules);
    return { evict: this.#state.end(victims), build };
  }

  #after(ended: readonly TreeNode[], nowMs: number): Decision {
    const evict = this.#state.end(ended);
    const next = this.next(nowMs);
    return { ...next, evict: [...evict, ...next.evict] };
  }
}

const splitPin = (pin: PinId): { name: string; version: string } => {
  const [name = "", rest = ""] = pin.split("==");
  return { name: normalName(name), version: rest.replace(/\+[^+]*$/u, "") };
};

/** The set's own pins of these packages; undefined if it does not have all of them. */
const resolve = (
  packages: readonly WantedPackage[],
  byName: ReadonlyMap<string, PinId>,
): PinId[] | undefined => {
  const pins: PinId[] = [];
  for (const { name, version } of packages) {
    const pin = byName.get(name);
    if (pin === undefined || (version !== undefined && splitPin(pin).version !== version)) return undefined;
    pins.push(pin);
  }
  return pins;
};
