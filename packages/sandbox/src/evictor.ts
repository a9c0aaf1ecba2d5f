import { byAge, childless, choose, inState } from "./eviction-choice.ts";

/** A sandbox, as an evictor sees it. */
export interface EvictableSandbox {
  readonly id: string;
  /** What runs in it: its spec's name, which several may have. */
  readonly name: string;
  /**
   * `running`: has a call, loads its code, or its owner wants to keep it. `idle`: nobody needs it now. `paused`: the
   * same, and its processes are stopped. `resuming`: paused, but called; nothing of the call was written to it yet.
   */
  readonly state: "running" | "idle" | "paused" | "resuming";
  /** When it was last used, on any clock that is the same for all. */
  readonly usedMs: number;
  /** How often it was used: calls it was given. */
  readonly uses: number;
  /** What comes back when it is destroyed. */
  readonly memoryMb: number;
  /** How long it took to make, in ms, its code's loading included once that is over. */
  readonly makeMs: number;
}

/** A zygote, as an evictor sees it. */
export interface EvictableZygote {
  readonly id: string;
  /** When a sandbox or zygote was last forked from it. */
  readonly usedMs: number;
  /** How often that was wanted. */
  readonly uses: number;
  readonly memoryMb: number;
  /** As of a sandbox, its imports included. */
  readonly makeMs: number;
  /** Zygotes below it, and what is being forked from it. */
  readonly children: number;
}

/** What an evictor decides from. What is being destroyed already is not in it. */
export interface EvictionSnapshot {
  /** Memory that is waited for, beyond what is free or on its way back. */
  readonly missingMb: number;
  /** It is only asked what would go; nothing will be destroyed. */
  readonly trial: boolean;
  /** Sandboxes and zygotes being made, which may be of use soon. */
  readonly making: number;
  /** The resuming sandbox whose turn it is to get memory, if it is one's. */
  readonly firstInLine: string | undefined;
  readonly sandboxes: readonly EvictableSandbox[];
  readonly zygotes: readonly EvictableZygote[];
}

/**
 * Says what to destroy: ids of sandboxes and zygotes of the snapshot. Called whenever memory is missing, and for a
 * trial. It decides from snapshots alone: the same ones in the same order give the same answers.
 */
export type Evictor = (snapshot: EvictionSnapshot) => readonly string[];

/** Where a policy goes further than it does by itself. */
export interface EvictorOptions {
  /** Destroys running sandboxes, and so their calls, when nothing else is left; default false. */
  readonly running?: boolean;
}

/**
 * The default policy: paused sandboxes first, then idle ones, then zygotes without children, each kind in the order of
 * its last use (of two as old, the one made more quickly).
 */
export const makeEvictor =
  (options: EvictorOptions = {}): Evictor =>
  (snapshot) => {
    const kinds = [inState(snapshot, "paused"), inState(snapshot, "idle"), childless(snapshot)];
    return choose(snapshot, kinds, byAge, options).map(({ id }) => id);
  };
