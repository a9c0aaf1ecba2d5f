import { leastLoaded, type Policy } from "./policy.ts";

interface Turn {
  next: number;
}

/** The worker with the fewest calls a slot; equal ones in turn. */
export const leastConnections: Policy<Turn> = {
  name: "LeastConnections",
  about: "The worker that has the fewest calls for each of its slots, whatever the call.",
  byKey: false,
  initial: () => ({ next: 0 }),
  choose: (call, { workers }, turn) => {
    const worker = leastLoaded(workers, call, turn.next);
    // Else all idle workers but the first would stay idle.
    turn.next = (turn.next + 1) % Math.max(workers.length, 1);
    return worker;
  },
};
