import { describe, expect, it } from "vitest";

import { cost } from "../../src/policies/cost.ts";
import { hash } from "../../src/policies/hash.ts";
import { POLICIES, policyNamed } from "../../src/policies/index.ts";
import { lard } from "../../src/policies/lard.ts";
import { leastConnections } from "../../src/policies/least-connections.ts";
import type { CallView, Policy, WorkerView } from "../../src/policies/policy.ts";
import { roundRobin } from "../../src/policies/round-robin.ts";
import { rendezvousOrder } from "../../src/rendezvous.ts";
import { callTo, cluster, facts, type TestWorker, testWorkers } from "../support/workers.ts";

/** Sends a call and leaves it there. */
const sender = <State>(policy: Policy<State>, workers: readonly TestWorker[]) => {
  const state = policy.initial();
  return (call: CallView, nowMs = 0): TestWorker | undefined => {
    const worker = policy.choose(call, cluster(workers, nowMs), state) as TestWorker | undefined;
    if (worker !== undefined) worker.load += 1;
    return worker;
  };
};

const ids = (workers: readonly (WorkerView | undefined)[]): (string | undefined)[] =>
  workers.map((worker) => worker?.id);

const times = <Value>(count: number, act: (at: number) => Value): Value[] =>
  Array.from({ length: count }, (_, at) => act(at));

describe("every policy", () => {
  it.each(POLICIES.map((policy) => [policy.name, policy] as const))(
    "%s chooses no worker without room, none that was tried, and none if there is none",
    (_, policy) => {
      const workers = testWorkers(4);
      const [a, b, c, d] = workers as [TestWorker, TestWorker, TestWorker, TestWorker];
      const state = policy.initial();
      a.hasRoom = false;
      b.load = 100;
      const tried = new Set([c.id]);
      for (let at = 0; at < 50; at += 1) {
        const chosen = policy.choose(callTo(`f${at}`, { tried }), cluster(workers), state);
        expect([b, d]).toContain(chosen);
      }
      b.hasRoom = false;
      d.hasRoom = false;
      expect(policy.choose(callTo("f", { tried }), cluster(workers), state)).toBeUndefined();
      expect(policy.choose(callTo("f"), cluster([]), state)).toBeUndefined();
    },
  );

  it("is found by its name, and a name that is nearly one is named", () => {
    expect(policyNamed("Cost")).toBe(cost);
    expect(() => policyNamed("LeastConnection")).toThrow("did you mean LeastConnections?");
    expect(() => policyNamed("x")).toThrow("choose one of LARD, RoundRobin, LeastConnections, Hash, Cost");
  });
});

describe("RoundRobin", () => {
  it("goes round, past those without room", () => {
    const workers = testWorkers(3);
    const send = sender(roundRobin, workers);
    (workers[1] as TestWorker).hasRoom = false;
    expect(ids(times(4, () => send(callTo("f"))))).toEqual(["w0", "w2", "w0", "w2"]);
  });
});

describe("LeastConnections", () => {
  it("chooses by calls for each slot, and lets equal ones take turns", () => {
    const workers = testWorkers(3);
    const send = sender(leastConnections, workers);
    expect(new Set(ids(times(3, () => send(callTo("f"))))).size).toBe(3);
    (workers[2] as TestWorker).slots = 16;
    expect(ids(times(3, () => send(callTo("f"))))).toEqual(["w2", "w2", "w2"]);
  });
});

describe("Hash", () => {
  it("keeps a key on the first worker of its order while that has no more than 1.25 times its share", () => {
    const workers = testWorkers(4);
    const send = sender(hash, workers);
    const order = rendezvousOrder("f", workers);
    const chosen = times(100, () => send(callTo("f")));
    expect(chosen[0]).toBe(order[0]);
    expect(Math.max(...workers.map(({ load }) => load))).toBeLessThanOrEqual(Math.ceil(1.25 * 25));
    expect((order[0] as TestWorker).load).toBeGreaterThanOrEqual((order[3] as TestWorker).load);
  });
});

describe("Cost", () => {
  it("prefers a sandbox to a zygote, and a zygote to nothing", () => {
    const workers = testWorkers(3);
    const [a, b] = workers as [TestWorker, TestWorker];
    const send = sender(cost, workers);
    const call = callTo("f", { key: "k", facts: facts({ key: "k", startMs: 500, runMs: 20 }) });
    b.zygotes.add("k");
    expect(send(call)).toBe(b);
    a.warm.add("f");
    expect(send(call)).toBe(a);
  });

  it("leaves a sandbox for which there is too long a line", () => {
    const workers = testWorkers(2);
    const [a, b] = workers as [TestWorker, TestWorker];
    a.warm.add("f");
    const call = callTo("f", { facts: facts({ startMs: 100, runMs: 40 }) });
    a.load = 12;
    expect(sender(cost, workers)(call)).toBe(a);
    a.load = 14;
    expect(sender(cost, workers)(call)).toBe(b);
  });
});

describe("LARD", () => {
  it("keeps a key on one worker until that has load_high calls for each slot", () => {
    const workers = testWorkers(4);
    const send = sender(lard, workers);
    const order = rendezvousOrder("f", workers);
    expect(new Set(times(16, () => send(callTo("f"))))).toEqual(new Set([order[0]]));
    expect(send(callTo("f"))).toBe(order[1]);
    expect(send(callTo("f"))).toBe(order[1]);
  });

  it("sends functions with the same packages to the same worker", () => {
    const send = sender(lard, testWorkers(8));
    const chosen = times(8, (at) => send(callTo(`f${at}`, { key: "numpy" })));
    expect(new Set(chosen).size).toBe(1);
  });

  it("keeps to a worker above load_high while none has little to do, up to twice as much", () => {
    const workers = testWorkers(2);
    const send = sender(lard, workers);
    const order = rendezvousOrder("f", workers) as TestWorker[];
    (order[0] as TestWorker).load = 16;
    (order[1] as TestWorker).load = 4;
    expect(send(callTo("f"))).toBe(order[0]);
    (order[0] as TestWorker).load = 32;
    expect(send(callTo("f"))).toBe(order[1]);
  });

  it("within a set takes a sandbox with a free slot, then a zygote, then the least loaded", () => {
    const workers = testWorkers(4);
    const send = sender(lard, workers);
    const order = rendezvousOrder("f", workers) as [TestWorker, TestWorker, TestWorker, TestWorker];
    order[0].load = 16;
    send(callTo("f"));
    order[1].load = 16;
    expect(send(callTo("f"))).toBe(order[2]);
    for (const worker of order) worker.load = 2;
    order[3].warm.add("f");
    order[1].zygotes.add("f");
    expect(send(callTo("f"))).toBe(order[1]);
    order[2].warm.add("f");
    expect(send(callTo("f"))).toBe(order[2]);
    order[2].load = 4;
    order[1].load = 4;
    expect(send(callTo("f"))).toBe(order[0]);
  });

  it("gives up a set's last worker after 20 s without change, and forgets what is one again", () => {
    const workers = testWorkers(4);
    const state = lard.initial();
    const [first, second] = rendezvousOrder("f", workers) as [TestWorker, TestWorker];
    const send = (nowMs: number): WorkerView | undefined =>
      lard.choose(callTo("f"), cluster(workers, nowMs), state);
    first.load = 16;
    expect(send(0)).toBe(second);
    first.load = 2;
    expect(send(19_000)).toBe(second);
    expect(send(20_001)).toBe(first);
    lard.choose(callTo("g"), cluster(workers, 60_000), state);
    expect(state.sets.size).toBe(0);
  });

  it("takes no further worker into the set for a call that is sent a second time", () => {
    const workers = testWorkers(4);
    const state = lard.initial();
    const [first, second] = rendezvousOrder("f", workers) as [TestWorker, TestWorker];
    const again = callTo("f", { tried: new Set([first.id]) });
    expect(lard.choose(again, cluster(workers), state)).toBe(second);
    expect(lard.choose(callTo("f"), cluster(workers), state)).toBe(first);
  });

  it("agrees with another balancer that has seen nothing of it", () => {
    const workers = testWorkers(16);
    const [one, other] = [sender(lard, workers), sender(lard, workers)];
    for (let at = 0; at < 50; at += 1) expect(one(callTo(`f${at}`))).toBe(other(callTo(`f${at}`)));
  });
});
