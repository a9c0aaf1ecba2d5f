import { type Candidate, Candidates } from "./candidates.ts";
import { chooseMostSparing, type ZygoteChooser } from "./chooser.ts";
import { clamp, FORK_MS_PER_MB, LEAST_NODE_MB, MOST_DEPTH, MOST_MS } from "./constants.ts";
import type { NodePlan, TreeNode } from "./node-tree.ts";
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
import { savedRecord, TreeState } from "./tree-state.ts";
import { parseWishes, saveWishes, type Wish, Wishes } from "./wishes.ts";

/** What a GrowingTree can be told. Every default but the budget was found by simulation, and results are flat around it. */
export interface GrowingTreeOptions {
  /** The most that its zygotes may hold together. At the limit: those that spare least for each MB make way, or none is made. */
  readonly budgetMb: number;
  /** How long a gain counts; default 600,000. At the limit: it counts as 1/e of one now. */
  readonly tauMs?: number;
  /** How many times what making a zygote takes; default 2. At the limit: once its like would have spared so much, it is made. */
  readonly payback?: number;
  /** How many times what others are worth; default 1.5. At the limit: what is worth more takes their memory. */
  readonly hysteresis?: number;
  /** What a zygote must spare a start, in ms; default 2. At the limit: what spares less is not looked at. */
  readonly leastGainMs?: number;
  /** Which of its zygotes a sandbox is forked from; default `chooseMostSparing`. */
  readonly chooser?: ZygoteChooser;
}

const DEFAULT_TAU_MS = 600_000;
const SAVED_VERSION = 1;
const NOTHING: Decision = { evict: [] };

/** A candidate with what making it takes. */
interface Choice {
  /** What it would be forked from; undefined: the root. */
  readonly parent: TreeNode | undefined;
  readonly candidate: Candidate;
  readonly cost: Cost;
}

/**
 * The policy `auto`: a tree that grows where starts would have gained, and gives up what gained least. Each start that a
 * zygote with more of its packages would have spared work adds to the score of that zygote; who has earned back what
 * making it takes is made, in the background, and gets its memory from those that spare least per MB. How it compares:
 * docs/zygotes.md.
 */
export class GrowingTree implements ZygotePolicy {
  readonly #payback: number;
  readonly #hysteresis: number;
  readonly #leastGainMs: number;
  readonly #state: TreeState;
  #rootCandidates: Candidates;
  readonly #candidates = new WeakMap<TreeNode, Candidates>();
  #wishes = new Wishes();

  constructor(options: GrowingTreeOptions) {
    const { budgetMb, tauMs, payback, hysteresis, leastGainMs, chooser } = options;
    this.#payback = payback ?? 2;
    this.#hysteresis = hysteresis ?? 1.5;
    this.#leastGainMs = leastGainMs ?? 2;
    this.#state = new TreeState(budgetMb, tauMs ?? DEFAULT_TAU_MS, chooser ?? chooseMostSparing);
    this.#rootCandidates = new Candidates(this.#state.tauMs);
  }

  choose(set: PackageSet): NodeId | undefined {
    return this.#state.choose(set);
  }

  started(start: Start): Decision {
    const node = this.#state.forkedFrom(start);
    this.#state.learn(start, node);
    this.#credit(start, node);
    return this.#decide(this.#touch(start, node), start.nowMs);
  }

  next(nowMs: number): Decision {
    if (this.#state.busy) return NOTHING;
    const freeMb = this.#state.budgetMb - this.#state.tree.usedMb;
    const wish = this.#wishes.next(freeMb, ({ mask }) => this.#state.mayBuild(mask, nowMs));
    if (wish === undefined) return NOTHING;
    const parent = wish.parent?.node;
    const there = this.#state.alike(parent, wish.pins);
    if (there !== undefined) {
      this.#wishes.fulfil(wish, there);
      return this.next(nowMs);
    }
    const benefit = this.#wishes.benefit(wish, nowMs, this.#state.tauMs);
    return {
      build: this.#begin({ parent, pins: wish.pins, estimate: wish, benefit }, nowMs, wish),
      evict: [],
    };
  }

  built(id: NodeId, report: BuildReport, nowMs: number): Decision {
    const node = this.#state.built(id, report, nowMs);
    if (node === undefined) return this.next(nowMs);
    const added = new Set(node.pins);
    this.#rootCandidates.forget(added);
    for (const other of this.#state.tree.nodes()) this.#candidates.get(other)?.forget(added);
    return this.#after(this.#state.excess(node, nowMs), nowMs);
  }

  buildFailed(id: NodeId, failure: BuildFailure, nowMs: number): Decision {
    return this.#after(this.#state.failed(id, failure, nowMs), nowMs);
  }

  gone(id: NodeId, nowMs: number): Decision {
    const node = this.#state.gone(id, nowMs);
    if (node !== undefined) {
      // The next start that would have gained from it has it built once more.
      const score = Math.max(this.#state.benefitAt(nowMs)(node), 0);
      this.#candidatesOf(node.parent).putBack(node.pins, score, 2, nowMs);
    }
    return this.next(nowMs);
  }

  excluded(pin: PinId, reason: string, nowMs: number): Decision {
    return this.#after(this.#state.exclude(pin, reason), nowMs);
  }

  save(nowMs: number): Saved {
    const benefit = this.#state.benefitAt(nowMs);
    const nodes = this.#state.tree
      .nodes()
      .map((node) => ({ node, benefit: benefit(node), candidates: this.#candidatesOf(node).save(nowMs) }));
    return {
      version: SAVED_VERSION,
      ...this.#state.save(nowMs),
      candidates: this.#rootCandidates.save(nowMs),
      nodes: saveWishes(nodes, this.#wishes, nowMs, this.#state.tauMs),
    };
  }

  restore(saved: unknown, nowMs: number): string | undefined {
    const { tauMs } = this.#state;
    const record = savedRecord(saved, SAVED_VERSION);
    if (typeof record === "string") return record;
    const candidates = Candidates.restore(record["candidates"], tauMs, nowMs);
    if (candidates === undefined) return "`candidates` is not as it was saved";
    const wishes = parseWishes(record["nodes"], tauMs, nowMs);
    if (wishes === undefined) return "`nodes` is not as it was saved";
    const problem = this.#state.restore(record, nowMs);
    if (problem !== undefined) return problem;
    this.#rootCandidates = candidates;
    this.#wishes = new Wishes(wishes, nowMs);
    return undefined;
  }

  snapshot(nowMs: number): PolicySnapshot {
    return this.#state.snapshot(nowMs, this.#wishes.snapshot(nowMs, this.#state.tauMs));
  }

  /** Counts what the zygote and those above it have spared this start. */
  #credit({ costs, nowMs }: Start, node: TreeNode | undefined): void {
    if (node === undefined) return;
    node.uses += 1;
    for (const above of node.chain()) {
      // A lambda may load more of a package than its zygote has.
      const againMs = above.pins.reduce((sum, pin) => sum + clamp(costs?.get(pin)?.ms, MOST_MS), 0);
      const gainMs = Math.max(above.ms - againMs, 0) - FORK_MS_PER_MB * above.mb;
      above.credit(gainMs, nowMs, this.#state.tauMs);
      if (above === node) above.direct.add(gainMs, nowMs, this.#state.tauMs);
    }
  }

  /**
   * Adds to the scores of the zygotes that would have spared the start more than this one did: below it, and below those
   * above it, where others could share them too. Returns them.
   */
  #touch({ set, nowMs }: Start, node: TreeNode | undefined): Choice[] {
    const touched: Choice[] = [];
    for (const parent of [...(node?.chain() ?? []), undefined]) {
      if (parent?.state === "gone" || (parent?.depth ?? 0) >= MOST_DEPTH) continue;
      const sparedMs = (node?.worthMs ?? 0) - (parent?.worthMs ?? 0);
      const table = this.#candidatesOf(parent);
      for (const pins of this.#extensions(set, parent)) {
        const cost = this.#state.estimate(pins);
        const gainMs = cost.ms - FORK_MS_PER_MB * cost.mb - sparedMs;
        if (gainMs >= this.#leastGainMs && this.#state.alike(parent, pins) === undefined)
          touched.push({ parent, candidate: table.touch(pins, gainMs, nowMs), cost });
      }
    }
    return touched;
  }

  /** What could be imported besides the zygote's packages: one of the set's others with all that it needs, or all. */
  #extensions(set: PackageSet, node: TreeNode | undefined): Iterable<readonly PinId[]> {
    const members = new Set(set.pins);
    const all = new Set<PinId>();
    const found = new Map<string, readonly PinId[]>();
    const note = (pins: readonly PinId[]): unknown => found.set([...pins].sort().join(" "), pins);
    for (const pin of members) {
      const missing = this.#state.missing(pin, set, members, node?.mask);
      for (const needed of missing) all.add(needed);
      if (missing.length > 0) note(missing);
    }
    if (all.size > 0) note([...all]);
    return found.values();
  }

  #decide(touched: readonly Choice[], nowMs: number): Decision {
    if (this.#state.busy) return NOTHING;
    const ripe = this.#ripe(touched, nowMs);
    for (const { parent, candidate, cost } of ripe) {
      const ended = this.#makeRoom(cost.mb, candidate.score, parent, nowMs);
      if (ended === undefined) continue;
      const plan = { parent, pins: candidate.pins, estimate: cost, benefit: candidate.score };
      return { evict: this.#state.end(ended), build: this.#begin(plan, nowMs) };
    }
    const [best] = ripe;
    return (best === undefined ? undefined : this.#merge(best, nowMs)) ?? this.next(nowMs);
  }

  /**
   * Makes one of a zygote and its only child, if what both hold besides their packages is better used for this candidate. A
   * tree that grew with what it was asked for first has such chains; one that knew all from the beginning has not.
   */
  #merge({ candidate, cost }: Choice, nowMs: number): Decision | undefined {
    const { tree, tauMs } = this.#state;
    const pair = tree.mergeable((node) => node.direct.at(nowMs, tauMs));
    if (pair === undefined) return undefined;
    const { parent, child } = pair;
    const worth = (candidate.score / cost.mb) * LEAST_NODE_MB;
    if (worth <= this.#hysteresis * Math.max(parent.direct.at(nowMs, tauMs), 0)) return undefined;
    const pins = [...parent.pins, ...child.pins];
    if (!this.#state.mayBuild(child.mask, nowMs) || this.#state.alike(parent.parent, pins) !== undefined)
      return undefined;
    const benefit = this.#state.benefitAt(nowMs);
    const plan = {
      parent: parent.parent,
      pins,
      estimate: { ms: parent.ms + child.ms, mb: parent.mb + child.mb - LEAST_NODE_MB },
      benefit: benefit(parent) + benefit(child),
    };
    const candidates = this.#candidatesOf(child);
    const evict = this.#state.end([child, parent]);
    const build = this.#begin(plan, nowMs);
    this.#candidates.set(this.#state.tree.get(build.node) as TreeNode, candidates);
    return { evict, build };
  }

  /** The candidates that have earned their making, the best score per MB first. */
  #ripe(touched: readonly Choice[], nowMs: number): Choice[] {
    return touched
      .filter(
        ({ parent, candidate: { pins, score, seen }, cost }) =>
          seen >= 2 &&
          score >= this.#payback * cost.ms &&
          this.#state.mayBuild([...(parent?.mask ?? []), ...pins], nowMs),
      )
      .sort((a, b) => b.candidate.score / b.cost.mb - a.candidate.score / a.cost.mb);
  }

  /** Those that have to make way; undefined if they are worth too much, or too few. */
  #makeRoom(
    mb: number,
    score: number,
    parent: TreeNode | undefined,
    nowMs: number,
  ): readonly TreeNode[] | undefined {
    const benefit = this.#state.benefitAt(nowMs);
    const missingMb = this.#state.tree.usedMb + mb - this.#state.budgetMb;
    const victims = this.#state.tree.victims(missingMb, new Set(parent?.chain()), benefit);
    if (victims === undefined) return undefined;
    const worth = victims.reduce((sum, node) => sum + Math.max(benefit(node), 0), 0);
    return score > this.#hysteresis * worth ? victims : undefined;
  }

  #begin(plan: NodePlan, nowMs: number, wish?: Wish): Build {
    const [node, build] = this.#state.begin(plan, nowMs);
    if (wish !== undefined) {
      this.#wishes.fulfil(wish, node);
      this.#candidates.set(node, wish.candidates);
      // How much of it was its own is not known any more.
      node.direct.add(plan.benefit, nowMs, this.#state.tauMs);
    }
    return build;
  }

  #after(ended: readonly TreeNode[], nowMs: number): Decision {
    const evict = this.#state.end(ended);
    return { ...this.next(nowMs), evict };
  }

  #candidatesOf(node: TreeNode | undefined): Candidates {
    if (node === undefined) return this.#rootCandidates;
    const known = this.#candidates.get(node);
    if (known !== undefined) return known;
    const table = new Candidates(this.#state.tauMs);
    this.#candidates.set(node, table);
    return table;
  }
}
