import { byAge, childless, choose, inState } from "./eviction-choice.ts";
import { type Evictor, type EvictorOptions, makeEvictor } from "./evictor.ts";
import { makeGreedyDual } from "./greedy-dual.ts";

/** Whatever nobody needs, in the order of its last use: sandboxes that are paused or idle, and childless zygotes. */
export const makeLru =
  (options: EvictorOptions = {}): Evictor =>
  (snapshot) => {
    const free = [...inState(snapshot, "paused"), ...inState(snapshot, "idle"), ...childless(snapshot)];
    return choose(snapshot, [free], byAge, options).map(({ id }) => id);
  };

/**
 * By priority of state, as the original's SOCKEvictor has it: paused sandboxes, then zygotes without children, then
 * sandboxes that are not paused; each kind by age. Unlike there, one that runs a call is not among the last unless
 * `options` says so.
 */
export const makePriority =
  (options: EvictorOptions = {}): Evictor =>
  (snapshot) => {
    const kinds = [inState(snapshot, "paused"), childless(snapshot), inState(snapshot, "idle")];
    return choose(snapshot, kinds, byAge, options).map(({ id }) => id);
  };

export type EvictionPolicyName = "default" | "lru" | "priority" | "greedyDual";

/** The policies by their names. Each call makes one for one pool: `greedyDual` remembers what it saw. */
export const EVICTION_POLICIES: Readonly<Record<EvictionPolicyName, (options?: EvictorOptions) => Evictor>> =
  {
    default: makeEvictor,
    lru: makeLru,
    priority: makePriority,
    greedyDual: makeGreedyDual,
  };
