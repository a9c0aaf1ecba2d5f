import { RendezvousOrders } from "../rendezvous.ts";
import {
  type CallView,
  type Cluster,
  leastLoaded,
  mayTake,
  type Policy,
  relativeLoad,
  type WorkerView,
} from "./policy.ts";

/** A set that has not changed for so long gives up its last worker, as in the paper. */
const SHRINK_MS = 20_000;

/** How many workers hold a key, while it is more than one. */
interface ServerSet {
  size: number;
  changedMs: number;
}

/** Sets of more than one worker, by key, and the orders that sets are the beginnings of. */
export interface LardState {
  readonly sets: Map<string, ServerSet>;
  readonly orders: RendezvousOrders<WorkerView>;
  sweptMs: number;
}

/**
 * Locality-aware request distribution with replication (Pai et al. 1998): a key stays with the workers that hold it until they
 * have too much to do. Two things differ from the paper: a key is a set of packages, and its workers are the beginning of
 * its rendezvous order instead of whoever had least to do, so that several balancers agree without speaking to each other.
 */
export const lard: Policy<LardState> = {
  name: "LARD",
  about:
    "Calls stay with the workers that hold their packages until those have too much to do, then one more holds them (LARD/R).",
  byKey: true,
  initial: () => ({ sets: new Map(), orders: new RendezvousOrders(), sweptMs: 0 }),
  choose: (call, cluster, state) => {
    sweep(state, cluster.nowMs);
    const order = state.orders.of(call.key, cluster.workers);
    const set = state.sets.get(call.key);
    const size = Math.min(sizeOf(set, cluster.nowMs), order.length);
    const best = leastLoaded(order, call, 0, size);
    if (best !== undefined && !isOverloaded(best, cluster, call)) return fittest(order, call, size) ?? best;
    return grown(order, call, cluster, state, size) ?? leastLoaded(order, call);
  },
};

/** Has more to do than it should, while somebody has little, or twice as much. */
const isOverloaded = (
  worker: WorkerView,
  { thresholds: { low, high }, workers }: Cluster,
  call: CallView,
): boolean => {
  const load = relativeLoad(worker);
  if (load < high) return false;
  return load >= 2 * high || workers.some((other) => mayTake(other, call) && relativeLoad(other) < low);
};

/** Of those of the set with a free slot: one where the function has a sandbox, else one with a zygote for it. */
const fittest = (order: readonly WorkerView[], call: CallView, size: number): WorkerView | undefined => {
  let best: WorkerView | undefined;
  let bestRank = 0;
  for (let at = 0; at < size; at += 1) {
    const worker = order[at] as WorkerView;
    if (worker.load >= worker.slots || !mayTake(worker, call)) continue;
    const rank = worker.isWarm(call.name) ? 2 : worker.hasZygote(call.key) ? 1 : 0;
    if (rank === 0 || rank < bestRank) continue;
    if (rank === bestRank && relativeLoad(worker) >= relativeLoad(best as WorkerView)) continue;
    [best, bestRank] = [worker, rank];
  }
  return best;
};

/** Takes workers into the set, as far as it needs to find one that has not too much to do; undefined if none has. */
const grown = (
  order: readonly WorkerView[],
  call: CallView,
  { thresholds, nowMs }: Cluster,
  { sets }: LardState,
  size: number,
): WorkerView | undefined => {
  for (let at = size; at < order.length; at += 1) {
    const worker = order[at] as WorkerView;
    if (!mayTake(worker, call) || relativeLoad(worker) >= thresholds.high) continue;
    // That a call was sent elsewhere before says nothing of how much there is to do.
    if (call.tried.size === 0) sets.set(call.key, { size: at + 1, changedMs: nowMs });
    return worker;
  }
  return undefined;
};

const sizeOf = (set: ServerSet | undefined, nowMs: number): number => {
  if (set === undefined) return 1;
  while (set.size > 1 && nowMs - set.changedMs > SHRINK_MS) {
    set.size -= 1;
    set.changedMs += SHRINK_MS;
  }
  return set.size;
};

/** Forgets what has shrunk to one, called or not. */
const sweep = (state: LardState, nowMs: number): void => {
  if (nowMs - state.sweptMs < SHRINK_MS) return;
  state.sweptMs = nowMs;
  for (const [key, set] of state.sets) if (sizeOf(set, nowMs) === 1) state.sets.delete(key);
};
