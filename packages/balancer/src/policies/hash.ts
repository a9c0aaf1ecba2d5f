import { RendezvousOrders } from "../rendezvous.ts";
import { leastLoaded, mayTake, type Policy, type WorkerView } from "./policy.ts";

/** No worker gets more than this times its fair share. 1.25 is what the authors recommend, and HAProxy's documentation. */
const BALANCE = 1.25;

/**
 * Consistent hashing with bounded loads (Mirrokni, Thorup and Zadimoghaddam 2018): a key's first worker in rendezvous order,
 * unless it has more than 1.25 times its fair share of all calls, then the next.
 */
export const hash: Policy<RendezvousOrders<WorkerView>> = {
  name: "Hash",
  about:
    "Each package set on a worker of its own, found by hashing; one with more than 1.25 times its fair share passes calls on to the next.",
  byKey: true,
  initial: () => new RendezvousOrders(),
  choose: (call, { workers }, orders) => {
    const order = orders.of(call.key, workers);
    let load = 1;
    let slots = 0;
    for (const worker of workers) {
      load += worker.load;
      slots += worker.slots;
    }
    const shareOfSlot = (BALANCE * load) / slots;
    for (const worker of order)
      if (mayTake(worker, call) && worker.load < Math.ceil(shareOfSlot * worker.slots)) return worker;
    return leastLoaded(order, call);
  },
};
