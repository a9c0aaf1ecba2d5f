import { RendezvousOrders } from "../rendezvous.ts";
import { type CallView, mayTake, type Policy, type WorkerView } from "./policy.ts";

/** What handing a call to a sandbox takes, and forking one from a zygote with its packages; in ms, as measured. */
const WARM_MS = 1;
const ZYGOTE_MS = 15;
/** What is supposed of a function that no worker has reported: the middle of what was measured for real package sets. */
const UNKNOWN_START_MS = 200;
const UNKNOWN_RUN_MS = 20;

/** The worker where the call is expected to begin first: the time its sandbox takes, and the calls before it. */
export const cost: Policy<RendezvousOrders<WorkerView>> = {
  name: "Cost",
  about:
    "The worker where the call is expected to begin first, by what workers report of sandboxes, zygotes and import times.",
  byKey: true,
  initial: () => new RendezvousOrders(),
  choose: (call, { workers }, orders) => {
    let best: WorkerView | undefined;
    let bestMs = Number.POSITIVE_INFINITY;
    // In the order of the key: equal ones are then the same for each of its calls.
    for (const worker of orders.of(call.key, workers)) {
      if (!mayTake(worker, call)) continue;
      const ms = startMs(worker, call) + waitMs(worker, call);
      if (ms < bestMs) [best, bestMs] = [worker, ms];
    }
    return best;
  },
};

const startMs = (worker: WorkerView, { name, key, facts }: CallView): number => {
  if (worker.isWarm(name)) return WARM_MS;
  const importMs = facts?.startMs ?? UNKNOWN_START_MS;
  return worker.hasZygote(key) ? Math.min(ZYGOTE_MS, importMs) : importMs;
};

const waitMs = ({ load, slots }: WorkerView, { facts }: CallView): number =>
  (Math.max(load + 1 - slots, 0) / slots) * (facts?.runMs ?? UNKNOWN_RUN_MS);
