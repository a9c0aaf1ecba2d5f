// A balancing policy of one's own: of two workers that a call's key names, the one with less to do ("power of two choices").
import { createHash } from "node:crypto";

import { Dispatcher, mayTake, type Policy, relativeLoad, type WorkerView } from "@ol/balancer";

const twoChoices: Policy<undefined> = {
  name: "TwoChoices",
  about: "Of two workers that the call's key names, the one with less to do.",
  byKey: true,
  initial: () => undefined,
  choose: (call, { workers }) => {
    const free = workers.filter((worker) => mayTake(worker, call));
    const hash = createHash("sha256").update(call.key).digest();
    const pick = (at: number): WorkerView | undefined => free[hash.readUInt32BE(at) % (free.length || 1)];
    const [one, other] = [pick(0), pick(4)];
    if (one === undefined || other === undefined) return one ?? other;
    return relativeLoad(one) <= relativeLoad(other) ? one : other;
  },
};

const workers = [1, 2, 3, 4].map((n) => ({ id: `w${n}`, url: `http://127.0.0.1:${9000 + n}`, slots: 8 }));
// Nobody is asked for his health here: there are no workers, only decisions.
await using dispatcher = Dispatcher.create({ customPolicy: twoChoices, workers, watch: false });
const placed: Record<string, Record<string, number>> = {};
for (let call = 0; call < 32; call += 1) {
  const name = `lambda-${call % 2}`;
  const request = { name, idempotent: false, client: "127.0.0.1" };
  // Kept, so that the next one finds the worker busier.
  const { worker } = await dispatcher.acquire(request, AbortSignal.timeout(1_000));
  const counts = (placed[name] ??= {});
  counts[worker.id] = (counts[worker.id] ?? 0) + 1;
}
console.log(JSON.stringify(placed));
