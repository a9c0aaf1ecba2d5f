import type { ZygoteChooser } from "./chooser.ts";
import { closureOf } from "./closure.ts";
import { LEAST_NODE_MB } from "./constants.ts";
import { type NodePlan, NodeTree, type TreeNode } from "./node-tree.ts";
import { PinCosts } from "./pin-costs.ts";
import type {
  Build,
  BuildFailure,
  BuildReport,
  Cost,
  NodeId,
  NodeSnapshot,
  PackageSet,
  PinId,
  PolicySnapshot,
  Saved,
  Start,
} from "./policy.ts";
import { isRecord } from "./saved.ts";
import { Setbacks } from "./setbacks.ts";

/** Each takes a failed build. More are forgotten, the oldest first. */
const MOST_EXCLUDED = 5_000;

/**
 * What every policy with a tree has to know and to keep: the zygotes that there are, the one that is being built, what
 * pins cost, and what must not be built. It decides nothing.
 */
export class TreeState {
  readonly budgetMb: number;
  readonly tauMs: number;
  readonly tree: NodeTree = new NodeTree();
  #costs = new PinCosts();
  #excluded = new Map<PinId, string>();
  #setbacks = new Setbacks();
  #building: TreeNode | undefined;
  readonly #chooser: ZygoteChooser;

  constructor(budgetMb: number, tauMs: number, chooser: ZygoteChooser) {
    this.budgetMb = budgetMb;
    this.tauMs = tauMs;
    this.#chooser = chooser;
  }

  /** The zygote to fork a sandbox of this set from; undefined for the root. */
  choose(set: PackageSet): NodeId | undefined {
    const suitable = this.tree.suitable(set);
    const chosen = this.#chooser(set, suitable);
    return suitable.find(({ id }) => id === chosen)?.id;
  }

  get busy(): boolean {
    return this.#building !== undefined;
  }

  /** The zygote that gave the start what it did not have to import. */
  forkedFrom({ node: id, set }: Start): TreeNode | undefined {
    if (id === undefined) return undefined;
    // It may have ended since.
    const node = this.tree.get(id) ?? this.tree.best(set);
    const members = new Set(set.pins);
    return node !== undefined && [...node.mask].every((pin) => members.has(pin)) ? node : undefined;
  }

  /** What the start imported itself teaches what its pins cost. */
  learn({ set, costs }: Start, node: TreeNode | undefined): void {
    if (costs === undefined) return;
    for (const pin of set.pins)
      if (node?.mask.has(pin) !== true) this.#costs.learn(pin, costs.get(pin), set.provides?.get(pin));
  }

  /**
   * What a zygote below this one would have besides, to have the pin; nothing if it has it already, or must not have it:
   * importing what needs an excluded pin would import that too.
   */
  missing(
    pin: PinId,
    set: PackageSet,
    members: ReadonlySet<PinId>,
    mask: ReadonlySet<PinId> | undefined,
  ): PinId[] {
    if (mask?.has(pin) === true) return [];
    const closure = closureOf(pin, set, members);
    return closure.some((needed) => this.#excluded.has(needed))
      ? []
      : closure.filter((needed) => mask?.has(needed) !== true);
  }

  estimate(pins: readonly PinId[]): Cost {
    const { ms, mb } = this.#costs.sum(pins);
    return { ms, mb: mb + LEAST_NODE_MB };
  }

  benefitAt(nowMs: number): (node: TreeNode) => number {
    return (node) => node.benefit(nowMs, this.tauMs);
  }

  /** The zygote that has exactly these pins besides the parent's. */
  alike(parent: TreeNode | undefined, pins: readonly PinId[]): TreeNode | undefined {
    for (const child of this.tree.children(parent))
      if (
        child.state !== "gone" &&
        child.pins.length === pins.length &&
        pins.every((pin) => child.mask.has(pin))
      )
        return child;
    return undefined;
  }

  mayBuild(mask: Iterable<PinId>, nowMs: number): boolean {
    const pins = [...mask];
    return !pins.some((pin) => this.#excluded.has(pin)) && this.#setbacks.allows(pins, nowMs);
  }

  /** What to import for these pins; `provides` is for those of which no start has loaded anything yet. */
  modules(pins: readonly PinId[], provides?: PackageSet["provides"]): readonly string[] {
    return this.#costs.modules(pins, provides);
  }

  /** `modules`: default those that starts have loaded. */
  begin(
    plan: NodePlan,
    nowMs: number,
    modules: readonly string[] = this.modules(plan.pins),
  ): [TreeNode, Build] {
    const node = this.tree.add(plan, nowMs);
    this.#building = node;
    const { id, pins, ms, mb } = node;
    const mask = [...node.mask];
    return [node, { node: id, parent: plan.parent?.id, pins, mask, modules, estimate: { ms, mb } }];
  }

  /** It is ready, and measured; undefined if it is not what was being built. */
  built(id: NodeId, report: BuildReport, nowMs: number): TreeNode | undefined {
    const node = this.#takeBuilding(id);
    if (node === undefined) return undefined;
    this.tree.ready(node, report, nowMs);
    this.#costs.measured(node.pins, { ms: node.ms, mb: node.mb - LEAST_NODE_MB });
    return node;
  }

  /** What has to be ended now that it is there: itself if a pin of it was excluded meanwhile, others if it is too large. */
  excess(node: TreeNode, nowMs: number): readonly TreeNode[] {
    if ([...node.mask].some((pin) => this.#excluded.has(pin))) return [node];
    const excessMb = this.tree.usedMb - this.budgetMb;
    return this.tree.victims(excessMb, new Set(), this.benefitAt(nowMs)) ?? [node];
  }

  /** Returns those that have to be ended for it. */
  failed(id: NodeId, { unfit = [], reason }: BuildFailure, nowMs: number): readonly TreeNode[] {
    const node = this.#takeBuilding(id);
    if (node === undefined) return [];
    this.tree.end(node);
    if (unfit.length === 0) this.#setbacks.note(node.mask, 0, nowMs);
    return [...new Set(unfit.flatMap((pin) => this.exclude(pin, reason)))];
  }

  /** It ended unasked; undefined if that is known, or it is not ready yet. */
  gone(id: NodeId, nowMs: number): TreeNode | undefined {
    const node = this.tree.get(id);
    if (node?.state !== "ready") return undefined;
    this.#setbacks.note(node.mask, nowMs - node.sinceMs, nowMs);
    this.tree.end(node);
    return node;
  }

  /** Keeps the pin out, and returns the zygotes that have it; one that is being built is ended when it is ready. */
  exclude(pin: PinId, reason: string): TreeNode[] {
    this.#excluded.set(pin, reason);
    const [oldest] = this.#excluded.keys();
    if (this.#excluded.size > MOST_EXCLUDED && oldest !== undefined) this.#excluded.delete(oldest);
    return this.tree
      .nodes()
      .filter(({ mask, state }) => state === "ready" && mask.has(pin))
      .reverse();
  }

  end(nodes: readonly TreeNode[]): NodeId[] {
    for (const node of nodes) this.tree.end(node);
    return nodes.map(({ id }) => id);
  }

  save(nowMs: number): Saved {
    return {
      costs: this.#costs.save(),
      excluded: [...this.#excluded],
      setbacks: this.#setbacks.save(nowMs),
    };
  }

  /** Takes up what `save` returned; or returns which part of it is something else, and changes nothing. */
  restore(saved: Saved, nowMs: number): string | undefined {
    const costs = PinCosts.restore(saved["costs"]);
    if (costs === undefined) return "`costs` is not as it was saved";
    const excluded = parseExcluded(saved["excluded"]);
    if (excluded === undefined) return "`excluded` is not as it was saved";
    const setbacks = Setbacks.restore(saved["setbacks"], nowMs);
    if (setbacks === undefined) return "`setbacks` is not as it was saved";
    this.#costs = costs;
    this.#excluded = excluded;
    this.#setbacks = setbacks;
    return undefined;
  }

  snapshot(nowMs: number, more: readonly NodeSnapshot[] = []): PolicySnapshot {
    return {
      nodes: [...this.tree.nodes().map((node) => node.snapshot(nowMs, this.tauMs)), ...more],
      budgetMb: this.budgetMb,
      usedMb: this.tree.usedMb,
      excluded: new Map(this.#excluded),
    };
  }

  #takeBuilding(id: NodeId): TreeNode | undefined {
    const node = this.#building;
    if (node?.id !== id) return undefined;
    this.#building = undefined;
    return node;
  }
}

const parseExcluded = (saved: unknown): Map<PinId, string> | undefined => {
  if (!Array.isArray(saved) || saved.length > MOST_EXCLUDED) return undefined;
  const excluded = new Map<PinId, string>();
  for (const entry of saved as unknown[]) {
    if (!Array.isArray(entry)) return undefined;
    const [pin, reason] = entry as unknown[];
    if (typeof pin !== "string" || typeof reason !== "string") return undefined;
    excluded.set(pin, reason);
  }
  return excluded;
};

/** What was saved, if it is a JSON object of this version; else why not. */
export const savedRecord = (saved: unknown, version: number): Saved | string => {
  if (!isRecord(saved)) return "it is no JSON object";
  return saved["version"] === version ? saved : `it is not of version ${version}`;
};
