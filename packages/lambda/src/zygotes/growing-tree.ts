import { type Candidate, Candidates } from "./candidates.ts";
import { closureOf } from "./closure.ts";
import { clamp, FORK_MS_PER_MB, LEAST_NODE_MB, MOST_DEPTH, MOST_MS } from "./constants.ts";
import { type NodePlan, NodeTree, type TreeNode } from "./node-tree.ts";
import { PinCosts } from "./pin-costs.ts";
import type {
  Build,
  BuildFailure,
  BuildReport,
  Cost,
  Decision,
  NodeId,
  PackageSet,
  PinId,
  PolicySnapshot,
  Saved,
  Start,
  ZygotePolicy,
} from "./policy.ts";
import { parseState, saveState } from "./saved-state.ts";
import { Setbacks } from "./setbacks.ts";
import { type Wish, Wishes } from "./wishes.ts";

/** What a GrowingTree can be told; every number but the budget was found by simulation and is flat around its default. */
export interface GrowingTreeOptions {
  /** The most that its zygotes may hold together. */
  readonly budgetMb: number;
  /** A gain so long ago counts as 1/e of one now; default 600,000. */
  readonly tauMs?: number;
  /** A zygote is made once its like would have spared this many times what making it takes; default 2. */
  readonly payback?: number;
  /** Others make way for it if it is this many times worth them; default 1.5. */
  readonly hysteresis?: number;
  /** What spares a start less than this, in ms, is not looked at; default 2. */
  readonly leastGainMs?: number;
}

/** Each takes a failed build. More are forgotten, the oldest first. */
const MOST_EXCLUDED = 5_000;

const NOTHING: Decision = { evict: [] };

/** A candidate with what can be said about it now. */
interface Choice {
  readonly candidate: Candidate;
  readonly cost: Cost;
}

/** What is being built. */
interface BuildUnderWay {
  readonly node: TreeNode;
  /** The zygote's wish, if it is one of before the restart. */
  readonly wish: Wish | undefined;
}

/**
 * The policy `auto`: a tree that grows where starts would have gained, and gives up what gained least. Each start that a
 * zygote with more of its packages would have spared work adds to the score of that zygote; who has earned back what
 * making it takes is made, in the background, and gets its memory from those that spare least per MB. How it compares:
 * docs/zygotes.md.
 */
export class GrowingTree implements ZygotePolicy {
  readonly #options: Required<GrowingTreeOptions>;
  readonly #tree = new NodeTree();
  #costs = new PinCosts();
  #excluded = new Map<PinId, string>();
  #setbacks = new Setbacks();
  #rootCandidates: Candidates;
  readonly #candidates = new WeakMap<TreeNode, Candidates>();
  #wishes = new Wishes();
  #building: BuildUnderWay | undefined;

  constructor(options: GrowingTreeOptions) {
    this.#options = { tauMs: 600_000, payback: 2, hysteresis: 1.5, leastGainMs: 2, ...options };
    this.#rootCandidates = new Candidates(this.#options.tauMs);
  }

  choose(set: PackageSet): NodeId | undefined {
    return this.#tree.best(set)?.id;
  }

  started(start: Start): Decision {
    const { set, nowMs } = start;
    const members = new Set(set.pins);
    const node = this.#forkedFrom(start, members);
    this.#learn(start, node);
    this.#credit(start, node);
    return this.#decide(node, this.#touch(start, node, members), nowMs);
  }

  next(nowMs: number): Decision {
    if (this.#building !== undefined) return NOTHING;
    const wish = this.#wishes.next(this.#options.budgetMb - this.#tree.usedMb, (wish) =>
      this.#mayBuild(wish.mask, nowMs),
    );
    if (wish === undefined) return NOTHING;
    const parent = wish.parent?.node;
    const there = this.#alike(parent, wish.pins);
    if (there !== undefined) {
      this.#wishes.fulfil(wish, there);
      return this.next(nowMs);
    }
    const benefit = this.#wishes.benefit(wish, nowMs, this.#options.tauMs);
    return {
      build: this.#begin({ parent, pins: wish.pins, estimate: wish, benefit }, wish, nowMs),
      evict: [],
    };
  }

  built(id: NodeId, report: BuildReport, nowMs: number): Decision {
    const node = this.#takeBuilding(id);
    if (node === undefined) return this.next(nowMs);
    this.#tree.ready(node, report, nowMs);
    this.#costs.measured(node.pins, node);
    this.#candidatesOf(node.parent).forget(new Set(node.pins));
    const unfit = [...node.mask].some((pin) => this.#excluded.has(pin));
    const excessMb = this.#tree.usedMb - this.#options.budgetMb;
    const ended = unfit
      ? [node]
      : (this.#tree.victims(excessMb, new Set(), this.#benefitAt(nowMs)) ?? [node]);
    return this.#after(ended, nowMs);
  }

  buildFailed(id: NodeId, { unfit = [], reason }: BuildFailure, nowMs: number): Decision {
    const node = this.#takeBuilding(id);
    if (node === undefined) return this.next(nowMs);
    this.#tree.end(node);
    if (unfit.length === 0) this.#setbacks.note(node.mask, 0, nowMs);
    return this.#after(
      unfit.flatMap((pin) => this.#exclude(pin, reason)),
      nowMs,
    );
  }

  gone(id: NodeId, nowMs: number): Decision {
    const node = this.#tree.get(id);
    if (node?.state !== "ready") return this.next(nowMs);
    this.#setbacks.note(node.mask, nowMs - node.sinceMs, nowMs);
    // The next start that would have gained from it has it built once more.
    const score = Math.max(this.#benefitAt(nowMs)(node), 0);
    this.#candidatesOf(node.parent).putBack(node.pins, score, 2, nowMs);
    this.#tree.end(node);
    return this.next(nowMs);
  }

  excluded(pin: PinId, reason: string, nowMs: number): Decision {
    return this.#after(this.#exclude(pin, reason), nowMs);
  }

  save(nowMs: number): Saved {
    const { tauMs } = this.#options;
    return saveState({
      costs: this.#costs.save(),
      excluded: this.#excluded,
      setbacks: this.#setbacks.save(nowMs),
      candidates: this.#rootCandidates.save(nowMs),
      nodes: this.#tree.nodes().map((node) => ({
        node,
        benefit: node.benefit(nowMs, tauMs),
        candidates: this.#candidatesOf(node).save(nowMs),
      })),
      wishes: this.#wishes.waiting.map((wish) => ({
        wish,
        benefit: this.#wishes.benefit(wish, nowMs, tauMs),
        candidates: wish.candidates.save(nowMs),
      })),
    });
  }

  restore(saved: unknown, nowMs: number): string | undefined {
    const state = parseState(saved, this.#options.tauMs, nowMs);
    if (typeof state === "string") return state;
    this.#costs = state.costs;
    this.#excluded = state.excluded;
    this.#setbacks = state.setbacks;
    this.#rootCandidates = state.candidates;
    this.#wishes = new Wishes(state.wishes, nowMs);
    return undefined;
  }

  snapshot(nowMs: number): PolicySnapshot {
    const { tauMs, budgetMb } = this.#options;
    return {
      nodes: [
        ...this.#tree.nodes().map((node) => node.snapshot(nowMs, tauMs)),
        ...this.#wishes.snapshot(nowMs, tauMs),
      ],
      budgetMb,
      usedMb: this.#tree.usedMb,
      excluded: new Map(this.#excluded),
    };
  }

  /** The zygote that gave the start what it did not have to import. */
  #forkedFrom({ node: id, set }: Start, members: ReadonlySet<PinId>): TreeNode | undefined {
    if (id === undefined) return undefined;
    // It may have ended since.
    const node = this.#tree.get(id) ?? this.#tree.best(set);
    return node !== undefined && [...node.mask].every((pin) => members.has(pin)) ? node : undefined;
  }

  #learn({ set, costs }: Start, node: TreeNode | undefined): void {
    if (costs === undefined) return;
    for (const pin of set.pins)
      if (node?.mask.has(pin) !== true) this.#costs.learn(pin, costs.get(pin), set.provides?.get(pin));
  }

  /** Counts what the zygote and those above it have spared this start. */
  #credit({ costs, nowMs }: Start, node: TreeNode | undefined): void {
    if (node === undefined) return;
    node.uses += 1;
    for (const above of node.chain()) {
      // A lambda may load more of a package than its zygote has.
      const againMs = above.pins.reduce((sum, pin) => sum + clamp(costs?.get(pin)?.ms, MOST_MS), 0);
      const gainMs = Math.max(above.ms - againMs, 0) - FORK_MS_PER_MB * above.mb;
      above.credit(gainMs, nowMs, this.#options.tauMs);
    }
  }

  /** Adds to the scores of the zygotes below this one that would have spared the start more; returns them. */
  #touch({ set, nowMs }: Start, node: TreeNode | undefined, members: ReadonlySet<PinId>): Candidate[] {
    const table = this.#candidatesOf(node);
    const touched = new Set<Candidate>();
    for (const pins of this.#extensions(set, node, members)) {
      const { ms, mb } = this.#estimate(pins);
      const gainMs = ms - FORK_MS_PER_MB * mb;
      if (gainMs >= this.#options.leastGainMs && this.#alike(node, pins) === undefined)
        touched.add(table.touch(pins, gainMs, nowMs));
    }
    return [...touched];
  }

  /** What could be imported besides the zygote's packages: one of the set's others with all that it needs, or all. */
  #extensions(
    set: PackageSet,
    node: TreeNode | undefined,
    members: ReadonlySet<PinId>,
  ): Iterable<readonly PinId[]> {
    const all = new Set<PinId>();
    const found = new Map<string, readonly PinId[]>();
    const note = (pins: readonly PinId[]): unknown => found.set([...pins].sort().join(" "), pins);
    for (const pin of members) {
      if (node?.mask.has(pin) === true) continue;
      const closure = closureOf(pin, set, members);
      // Importing what needs an excluded pin would import that too.
      if (closure.some((needed) => this.#excluded.has(needed))) continue;
      const missing = closure.filter((needed) => node?.mask.has(needed) !== true);
      for (const needed of missing) all.add(needed);
      note(missing);
    }
    if (all.size > 0) note([...all]);
    return found.values();
  }

  #decide(parent: TreeNode | undefined, touched: readonly Candidate[], nowMs: number): Decision {
    if (this.#building !== undefined) return NOTHING;
    const depth = parent?.depth ?? 0;
    if (depth < MOST_DEPTH && parent?.state !== "gone")
      for (const { candidate, cost } of this.#ripe(parent, touched, nowMs)) {
        const ended = this.#makeRoom(cost.mb, candidate.score, parent, nowMs);
        if (ended === undefined) continue;
        const plan = { parent, pins: candidate.pins, estimate: cost, benefit: candidate.score };
        return { evict: this.#end(ended), build: this.#begin(plan, undefined, nowMs) };
      }
    return this.next(nowMs);
  }

  /** The candidates that have earned their making, the best score per MB first. */
  #ripe(parent: TreeNode | undefined, touched: readonly Candidate[], nowMs: number): Choice[] {
    return touched
      .map((candidate) => ({ candidate, cost: this.#estimate(candidate.pins) }))
      .filter(({ candidate: { pins, score, seen }, cost }) => {
        if (seen < 2 || score < this.#options.payback * cost.ms || cost.mb > this.#options.budgetMb)
          return false;
        return this.#mayBuild([...(parent?.mask ?? []), ...pins], nowMs);
      })
      .sort((a, b) => b.candidate.score / b.cost.mb - a.candidate.score / a.cost.mb);
  }

  /** Those that have to make way; undefined if they are worth too much, or too few. */
  #makeRoom(mb: number, score: number, parent: TreeNode | undefined, nowMs: number): TreeNode[] | undefined {
    const benefit = this.#benefitAt(nowMs);
    const missingMb = this.#tree.usedMb + mb - this.#options.budgetMb;
    const victims = this.#tree.victims(missingMb, new Set(parent?.chain()), benefit);
    const worth = victims?.reduce((sum, node) => sum + Math.max(benefit(node), 0), 0) ?? 0;
    return victims !== undefined && (victims.length === 0 || score > this.#options.hysteresis * worth)
      ? victims
      : undefined;
  }

  #begin(plan: NodePlan, wish: Wish | undefined, nowMs: number): Build {
    const node = this.#tree.add(plan, nowMs);
    if (wish !== undefined) {
      this.#wishes.fulfil(wish, node);
      this.#candidates.set(node, wish.candidates);
    }
    this.#building = { node, wish };
    const { id, pins, ms, mb } = node;
    const modules = this.#costs.modules(pins);
    return { node: id, parent: plan.parent?.id, pins, mask: [...node.mask], modules, estimate: { ms, mb } };
  }

  #takeBuilding(id: NodeId): TreeNode | undefined {
    const node = this.#building?.node;
    if (node?.id !== id) return undefined;
    this.#building = undefined;
    return node;
  }

  /** Keeps the pin out, and returns the zygotes that have it; one that is being built is ended when it is ready. */
  #exclude(pin: PinId, reason: string): TreeNode[] {
    this.#excluded.set(pin, reason);
    const [oldest] = this.#excluded.keys();
    if (this.#excluded.size > MOST_EXCLUDED && oldest !== undefined) this.#excluded.delete(oldest);
    return this.#tree
      .nodes()
      .filter(({ mask, state }) => state === "ready" && mask.has(pin))
      .reverse();
  }

  #after(ended: readonly TreeNode[], nowMs: number): Decision {
    const evict = this.#end([...new Set(ended)]);
    return { ...this.next(nowMs), evict };
  }

  #end(nodes: readonly TreeNode[]): NodeId[] {
    for (const node of nodes) this.#tree.end(node);
    return nodes.map(({ id }) => id);
  }

  #mayBuild(mask: Iterable<PinId>, nowMs: number): boolean {
    const pins = [...mask];
    return !pins.some((pin) => this.#excluded.has(pin)) && this.#setbacks.allows(pins, nowMs);
  }

  /** The zygote that has exactly these pins besides the parent's. */
  #alike(parent: TreeNode | undefined, pins: readonly PinId[]): TreeNode | undefined {
    for (const child of this.#tree.children(parent))
      if (
        child.state !== "gone" &&
        child.pins.length === pins.length &&
        pins.every((pin) => child.mask.has(pin))
      )
        return child;
    return undefined;
  }

  #estimate(pins: readonly PinId[]): Cost {
    const { ms, mb } = this.#costs.sum(pins);
    return { ms, mb: Math.max(mb, LEAST_NODE_MB) };
  }

  #benefitAt(nowMs: number): (node: TreeNode) => number {
    return (node) => node.benefit(nowMs, this.#options.tauMs);
  }

  #candidatesOf(node: TreeNode | undefined): Candidates {
    if (node === undefined) return this.#rootCandidates;
    const known = this.#candidates.get(node);
    if (known !== undefined) return known;
    const table = new Candidates(this.#options.tauMs);
    this.#candidates.set(node, table);
    return table;
  }
}
