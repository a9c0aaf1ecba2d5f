/** One package in one version, as the store has it: `name==version+12 hex`, the hex over the hashes of its wheels. */
export type PinId = string;

/** A policy's name for a zygote; unique within the policy's life. */
export type NodeId = string;

/** What a lambda may import: its locked packages. */
export interface PackageSet {
  /** Equal for equal sets. */
  readonly key: string;
  /** All of them, those that others need included. */
  readonly pins: readonly PinId[];
  /** What each needs directly. A pin without an entry needs nothing. */
  readonly requires: ReadonlyMap<PinId, readonly PinId[]>;
  /**
   * The top-level modules of each, as far as the store knows. With them a policy keeps a lambda away from a zygote whose
   * import looked for a package of this set in vain (`BuildReport.sought`), and ignores modules that are no pin's.
   */
  readonly provides?: ReadonlyMap<PinId, readonly string[]>;
}

/** What importing one pin cost a sandbox, without what other pins of it cost. From a guest: not to be believed blindly. */
export interface PinReport {
  readonly ms: number;
  /** Private memory. */
  readonly mb: number;
  /**
   * Its modules whose import was begun from outside the pin (by the lambda, or by another package), in that order: what
   * has to be imported to get the same.
   */
  readonly modules: readonly string[];
}

/** A sandbox has loaded its code. */
export interface Start {
  readonly set: PackageSet;
  /** What it was forked from; undefined: the root. */
  readonly node: NodeId | undefined;
  readonly nowMs: number;
  /** What it imported itself, by pin; a pin that is absent was not imported. Undefined if the guest did not say. */
  readonly costs?: ReadonlyMap<PinId, PinReport> | undefined;
}

/** A zygote that is wished for. */
export interface Build {
  readonly node: NodeId;
  /** The zygote to fork it from; undefined: the root. */
  readonly parent: NodeId | undefined;
  /** What it has besides its parent's. */
  readonly pins: readonly PinId[];
  /** All that may be imported in it: its own and its parents', those that others need before those. */
  readonly mask: readonly PinId[];
  /** What to import, in this order. */
  readonly modules: readonly string[];
  /** What importing will take, and hold besides its parent's memory. */
  readonly estimate: Cost;
}

export interface Cost {
  readonly ms: number;
  readonly mb: number;
}

/** How a build went. */
export interface BuildReport extends Cost {
  /** Top-level modules that were looked for while it imported, and not found. */
  readonly sought?: readonly string[];
}

/** Why a build failed, as far as that is known. */
export interface BuildFailure {
  /** Those that cannot be in a zygote: they start threads, or leave descriptors or processes. */
  readonly unfit?: readonly PinId[];
  /** In words for the developer. */
  readonly reason: string;
}

/** What is to be done now: first end these, then build that. At most one build is under way at any time. */
export interface Decision {
  readonly build?: Build;
  /** Zygotes to end, children before their parents. They are no part of the tree any more. */
  readonly evict: readonly NodeId[];
}

/** `wished`: to be built again after a restart. `gone`: ended, and its pages live on in zygotes that were forked from it. */
export type NodeState = "wished" | "building" | "ready" | "gone";

/** A zygote as people see it. */
export interface NodeSnapshot {
  readonly node: NodeId;
  readonly parent: NodeId | undefined;
  readonly state: NodeState;
  readonly pins: readonly PinId[];
  /** What it spares a start, and holds, besides its parent. */
  readonly ms: number;
  readonly mb: number;
  /** What it has spared lately, in ms; older gains count less. */
  readonly benefit: number;
  /** Sandboxes that were forked from it. */
  readonly uses: number;
}

/** A policy's tree as people see it. */
export interface PolicySnapshot {
  /** Parents before their children. */
  readonly nodes: readonly NodeSnapshot[];
  /** The most that zygotes may hold together. */
  readonly budgetMb: number;
  readonly usedMb: number;
  /** Pins that are kept out of zygotes, each with the reason. */
  readonly excluded: ReadonlyMap<PinId, string>;
}

/** What `save` returns; can be written as JSON. */
export type Saved = Readonly<Record<string, unknown>>;

/**
 * Decides which zygotes there are and which one a sandbox is forked from. It does nothing itself: whoever keeps the tree
 * tells it what happened, and does what it answers. It has no clock (`nowMs` never goes back), no randomness, and throws
 * nothing: the same events give the same tree, in a worker and in the simulator (`ol-bench zygotes`).
 *
 * The one rule that every policy must keep: whatever is forked from a zygote declares all that the zygote may import. So
 * `choose` returns no node with a pin that is not in the set, and a build's mask contains its parent's.
 */
export interface ZygotePolicy {
  /** The zygote to fork a sandbox of this set from: one that is ready, or undefined for the root. Changes nothing. */
  choose(set: PackageSet): NodeId | undefined;
  /** A sandbox has started. Told also of those that were forked from the root, and of sets without a pin. */
  started(start: Start): Decision;
  /** What to do without an occasion: to be asked when the worker has started and `restore` was called. */
  next(nowMs: number): Decision;
  /** The build is over, and the zygote can be forked from. */
  built(node: NodeId, report: BuildReport, nowMs: number): Decision;
  /** The build is over, and there is no such zygote. */
  buildFailed(node: NodeId, failure: BuildFailure, nowMs: number): Decision;
  /** A zygote that nobody wished away has ended: it died, or its memory was needed. */
  gone(node: NodeId, nowMs: number): Decision;
  /** The pin cannot be in a zygote. */
  excluded(pin: PinId, reason: string, nowMs: number): Decision;
  /** What is worth keeping over a restart. */
  save(nowMs: number): Saved;
  /**
   * Takes up what `save` returned, in a policy that has seen nothing yet. Returns why it could not, in words, and is then as
   * it was: what was saved is only a file.
   */
  restore(saved: unknown, nowMs: number): string | undefined;
  /** The tree as people see it; changes nothing. */
  snapshot(nowMs: number): PolicySnapshot;
}
