import { chooseMostSparing, type ZygoteCandidate } from "./chooser.ts";
import { Decaying } from "./decaying.ts";
import { clamp, FORK_MS_PER_MB, LEAST_NODE_MB, MOST_MB, MOST_MS } from "./constants.ts";
import type { BuildReport, Cost, NodeId, NodeSnapshot, PackageSet, PinId } from "./policy.ts";

/** What a new node is made from. */
export interface NodePlan {
  readonly parent: TreeNode | undefined;
  readonly pins: readonly PinId[];
  readonly estimate: Cost;
  /** Its benefit from the start, in ms. */
  readonly benefit: number;
}

/** One zygote. */
export class TreeNode implements ZygoteCandidate {
  readonly id: NodeId;
  readonly parent: TreeNode | undefined;
  /** What it has besides its parent's. */
  readonly pins: readonly PinId[];
  /** All that may be imported in it. */
  readonly mask: ReadonlySet<PinId>;
  readonly depth: number;
  readonly children: Set<TreeNode> = new Set();
  state: "building" | "ready" | "gone" = "building";
  /** What it spares a start, and holds, besides its parent. */
  ms: number;
  mb: number;
  /** Top-level modules that its import looked for in vain. */
  sought: readonly string[] = [];
  uses = 0;
  /** When it became ready. */
  sinceMs = 0;
  /** What it has spared starts that were forked from it itself, without what those above it did. */
  readonly direct: Decaying = new Decaying(0, 0);
  readonly #benefit: Decaying;

  constructor(id: NodeId, { parent, pins, estimate, benefit }: NodePlan, nowMs: number) {
    this.id = id;
    this.parent = parent;
    this.pins = pins;
    this.mask = new Set([...(parent?.mask ?? []), ...pins]);
    this.depth = (parent?.depth ?? 0) + 1;
    this.ms = estimate.ms;
    this.mb = Math.max(estimate.mb, LEAST_NODE_MB);
    this.#benefit = new Decaying(benefit, nowMs);
  }

  /** It and all above it, nearest first. */
  *chain(): Generator<TreeNode> {
    yield this;
    if (this.parent !== undefined) yield* this.parent.chain();
  }

  /** What forking a sandbox from it spares, over forking from the root, in ms. */
  get worthMs(): number {
    let worth = 0;
    for (const { ms, mb } of this.chain()) worth += ms - FORK_MS_PER_MB * mb;
    return worth;
  }

  /** What it has spared, in ms, where a gain `tauMs` ago counts as 1/e of one now. */
  benefit(nowMs: number, tauMs: number): number {
    return this.#benefit.at(nowMs, tauMs);
  }

  credit(gainMs: number, nowMs: number, tauMs: number): void {
    this.#benefit.add(gainMs, nowMs, tauMs);
  }

  snapshot(nowMs: number, tauMs: number): NodeSnapshot {
    const { id, parent, state, pins, ms, mb, uses } = this;
    return { node: id, parent: parent?.id, state, pins, ms, mb, benefit: this.benefit(nowMs, tauMs), uses };
  }
}

/** The zygotes of one policy: who descends from whom, what each may import, what they hold. */
export class NodeTree {
  readonly #nodes = new Map<NodeId, TreeNode>();
  readonly #top = new Set<TreeNode>();
  #made = 0;

  get size(): number {
    return this.#nodes.size;
  }

  /** What all of them hold together, those that are being built by their estimate. */
  get usedMb(): number {
    let used = 0;
    for (const { mb } of this.#nodes.values()) used += mb;
    return used;
  }

  /** Parents before their children. */
  nodes(): TreeNode[] {
    return [...this.#nodes.values()];
  }

  get(id: NodeId | undefined): TreeNode | undefined {
    return id === undefined ? undefined : this.#nodes.get(id);
  }

  children(parent: TreeNode | undefined): ReadonlySet<TreeNode> {
    return parent?.children ?? this.#top;
  }

  add(plan: NodePlan, nowMs: number): TreeNode {
    this.#made += 1;
    const node = new TreeNode(`z${this.#made}`, plan, nowMs);
    this.#nodes.set(node.id, node);
    (plan.parent?.children ?? this.#top).add(node);
    return node;
  }

  ready(node: TreeNode, { ms, mb, sought }: BuildReport, nowMs: number): void {
    node.state = "ready";
    node.ms = clamp(ms, MOST_MS);
    node.mb = Math.max(clamp(mb, MOST_MB), LEAST_NODE_MB);
    node.sought = sought ?? [];
    node.sinceMs = nowMs;
  }

  /**
   * The process has ended. What was forked from it lives on and holds its pages: then it stays in the tree as `gone` until
   * the last of that is gone too.
   */
  end(node: TreeNode): void {
    node.state = "gone";
    for (const dead of node.chain()) {
      if (dead.state !== "gone" || dead.children.size > 0) return;
      this.#nodes.delete(dead.id);
      (dead.parent?.children ?? this.#top).delete(dead);
    }
  }

  /** The ready nodes that a sandbox of this set can be forked from. */
  suitable(set: PackageSet): TreeNode[] {
    const members = new Set(set.pins);
    const providers = providersOf(set, members);
    const found: TreeNode[] = [];
    const waiting = [...this.#top];
    for (let node = waiting.pop(); node !== undefined; node = waiting.pop()) {
      if (!node.pins.every((pin) => members.has(pin)) || missed(node, providers)) continue;
      waiting.push(...node.children);
      if (node.state === "ready") found.push(node);
    }
    return found;
  }

  /** Of these the one that spares most; undefined if the root is best. */
  best(set: PackageSet): TreeNode | undefined {
    return this.get(chooseMostSparing(set, this.suitable(set)));
  }

  /**
   * A ready node that has one child only, a ready one without children, and of these the one that fewest starts need by
   * itself: both could be one.
   */
  mergeable(direct: (node: TreeNode) => number): { parent: TreeNode; child: TreeNode } | undefined {
    let found: { parent: TreeNode; child: TreeNode } | undefined;
    let least = Number.POSITIVE_INFINITY;
    for (const parent of this.#nodes.values()) {
      if (parent.state !== "ready" || parent.children.size !== 1) continue;
      // Of one that is gone nothing can be forked any more.
      if (parent.parent?.state === "gone") continue;
      const [child] = parent.children;
      if (child?.state !== "ready" || child.children.size > 0) continue;
      const worth = direct(parent);
      if (worth >= least) continue;
      found = { parent, child };
      least = worth;
    }
    return found;
  }

  /**
   * Ready nodes to end so that `missingMb` become free, without those in `kept`: always one without children, of the least
   * benefit per MB (by `benefit`), as many as are needed; undefined if there are not enough. Children before their parents.
   */
  victims(
    missingMb: number,
    kept: ReadonlySet<TreeNode>,
    benefit: (node: TreeNode) => number,
  ): TreeNode[] | undefined {
    const chosen = new Set<TreeNode>();
    const ended = new Set<TreeNode>();
    let freed = 0;
    while (freed < missingMb) {
      const worst = this.#worst(chosen, ended, kept, benefit);
      if (worst === undefined) return undefined;
      chosen.add(worst);
      // With the last child of one that is gone already, its pages go too.
      for (const node of worst.chain()) {
        if (node !== worst && node.state !== "gone") break;
        if ([...node.children].some((child) => !ended.has(child))) break;
        ended.add(node);
        freed += node.mb;
      }
    }
    return [...chosen];
  }

  #worst(
    chosen: ReadonlySet<TreeNode>,
    ended: ReadonlySet<TreeNode>,
    kept: ReadonlySet<TreeNode>,
    benefit: (node: TreeNode) => number,
  ): TreeNode | undefined {
    let worst: TreeNode | undefined;
    let least = Number.POSITIVE_INFINITY;
    for (const node of this.#nodes.values()) {
      if (node.state !== "ready" || chosen.has(node) || kept.has(node)) continue;
      if ([...node.children].some((child) => !ended.has(child))) continue;
      const perMb = benefit(node) / node.mb;
      if (perMb >= least) continue;
      worst = node;
      least = perMb;
    }
    return worst;
  }
}

/** Which of the set's pins have each top-level module. */
const providersOf = (set: PackageSet, members: ReadonlySet<PinId>): ReadonlyMap<string, readonly PinId[]> => {
  const providers = new Map<string, PinId[]>();
  for (const [pin, names] of set.provides ?? []) {
    if (!members.has(pin)) continue;
    for (const name of names) {
      const others = providers.get(name);
      if (others === undefined) providers.set(name, [pin]);
      else others.push(pin);
    }
  }
  return providers;
};

/**
 * Whether its import looked in vain for what one of these would have had. Its own were there, and had it not: of a namespace
 * such as `google` the part that was looked for may be missing.
 */
const missed = ({ sought, mask }: TreeNode, providers: ReadonlyMap<string, readonly PinId[]>): boolean =>
  sought.some((name) => providers.get(name)?.some((pin) => !mask.has(pin)) === true);
