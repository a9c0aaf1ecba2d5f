import { mayTake, type Policy } from "./policy.ts";

interface Turn {
  next: number;
}

/** One worker after the other. */
export const roundRobin: Policy<Turn> = {
  name: "RoundRobin",
  about: "One worker after the other, whatever the call: the one to compare with.",
  byKey: false,
  initial: () => ({ next: 0 }),
  choose: (call, { workers }, turn) => {
    for (let step = 0; step < workers.length; step += 1) {
      const at = (turn.next + step) % workers.length;
      const worker = workers[at];
      if (worker === undefined || !mayTake(worker, call)) continue;
      turn.next = at + 1;
      return worker;
    }
    return undefined;
  },
};
