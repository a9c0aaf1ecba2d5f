import { describe, expect, it } from "vitest";

import { ActiveCheck } from "../../src/workers/active-check.ts";
import { Ejection } from "../../src/workers/ejection.ts";
import { choosable } from "../../src/workers/panic.ts";
import { rampedSlots } from "../../src/workers/ramp.ts";
import type { WorkerHealth } from "../../src/workers/worker.ts";
import { TestBalancer } from "../support/balancer.ts";
import { loadText } from "../support/workers.ts";

describe("an active check", () => {
  it("brings a worker down after 3 failures in a row, and up again after 2 successes in a row", () => {
    const check = new ActiveCheck();
    const after = (results: readonly boolean[]): boolean => {
      for (const ok of results) check.note(ok);
      return check.up;
    };
    expect(after([false, false, true, false, false])).toBe(true);
    expect(after([false])).toBe(false);
    expect(after([true, false, true])).toBe(false);
    expect(after([true])).toBe(true);
  });
});

describe("ejection", () => {
  it("puts a worker out after 3 failures in a row, for 1 s, then twice as long each time up to 30 s", () => {
    const ejection = new Ejection();
    let nowMs = 0;
    expect([ejection.failed(nowMs), ejection.failed(nowMs)]).toEqual([false, false]);
    ejection.succeeded(nowMs);
    expect([ejection.failed(nowMs), ejection.failed(nowMs)]).toEqual([false, false]);
    const lengths: number[] = [];
    for (let time = 0; time < 7; time += 1) {
      expect(ejection.failed(nowMs)).toBe(true);
      // Calls that were under way fail as well.
      expect(ejection.failed(nowMs)).toBe(false);
      lengths.push(ejection.untilMs - nowMs);
      expect(ejection.isOut(ejection.untilMs - 1)).toBe(true);
      nowMs = ejection.untilMs;
      expect(ejection.isOut(nowMs)).toBe(false);
    }
    expect(lengths).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
  });

  it("begins with 1 s again after 30 s without failures", () => {
    const ejection = new Ejection();
    for (let count = 0; count < 4; count += 1) ejection.failed(0);
    ejection.failed(1_000);
    expect(ejection.untilMs).toBe(3_000);
    ejection.succeeded(33_000);
    for (let count = 0; count < 3; count += 1) ejection.failed(40_000);
    expect(ejection.untilMs).toBe(41_000);
  });
});

describe("the ramp", () => {
  it("goes from a quarter to all in 10 s, never below one slot", () => {
    expect([0, 2_000, 5_000, 9_999, 10_000].map((ms) => rampedSlots(8, ms))).toEqual([2, 4, 5, 8, 8]);
    expect(rampedSlots(1, 0)).toBe(1);
  });
});

/** How many get calls, and whether that is by the panic rule. */
const chosen = (...states: WorkerHealth[]): readonly [number, boolean] => {
  const { workers, panic } = choosable(states.map((health) => ({ health, reachable: true })));
  return [workers.length, panic];
};

describe("the panic rule", () => {
  it("sends calls to all workers while less than half are healthy, and to nobody while none is", () => {
    expect(chosen("up", "up", "down", "ejected")).toEqual([2, false]);
    expect(chosen("up", "down", "ejected")).toEqual([3, true]);
    expect(chosen("down", "ejected")).toEqual([0, false]);
    expect(chosen()).toEqual([0, false]);
  });

  it("does not count workers that drain", () => {
    expect(chosen("up", "draining", "draining", "draining")).toEqual([1, false]);
    expect(chosen("up", "down", "down", "draining")).toEqual([3, true]);
  });

  it("sends calls to workers that drain only if there is no other, and if they can be reached", () => {
    expect(chosen("draining", "down", "ejected")).toEqual([1, false]);
    expect(choosable([{ health: "draining", reachable: false }]).workers).toEqual([]);
  });
});

describe("a worker in the dispatcher", () => {
  it("gets no calls for 1 s after 3 that could not be brought to it, and comes back with a quarter of its slots", () => {
    const balancer = new TestBalancer(3);
    const id = balancer.eject("f");
    expect(balancer.worker(id)).toMatchObject({ health: "ejected", counts: { ejections: 1 } });
    for (const { lease } of balancer.sendMany(10, "f")) expect(lease?.worker.id).not.toBe(id);
    balancer.clock.advance(999);
    expect(balancer.worker(id).health).toBe("ejected");
    balancer.clock.advance(1);
    expect(balancer.worker(id)).toMatchObject({ health: "up", slots: 4, slotsGiven: 1 });
    balancer.clock.advance(10_000);
    expect(balancer.worker(id).slotsGiven).toBe(4);
  });

  it("is not ejected for what happens after a reply's head, for slow calls, or for errors between which it answers", () => {
    const balancer = new TestBalancer(1);
    for (let count = 0; count < 20; count += 1) {
      const { lease } = balancer.send("f");
      if (count % 3 === 0) lease?.answered({ load: loadText() });
      lease?.failed(count % 3 === 1 ? "timeout" : "reset", false);
      lease?.release();
    }
    expect(balancer.worker("w0").health).toBe("up");
    expect(balancer.worker("w0").counts).toMatchObject({ timeouts: 7, resets: 6, ejections: 0 });
  });

  it("gets no calls from the moment it says that it drains, until it says otherwise", async () => {
    const balancer = new TestBalancer(2, { policy: "RoundRobin", watch: true });
    await balancer.pass(10);
    const { lease } = balancer.send("f");
    lease?.answered({ load: loadText({ draining: true }) });
    expect(balancer.worker("w0").health).toBe("draining");
    for (const sent of balancer.sendMany(4, "f")) expect(sent.lease?.worker.id).toBe("w1");
    await balancer.pass(1_100);
    expect(balancer.worker("w0").health).toBe("up");
  });

  it("gets calls while it drains if it is the only one, until it cannot be reached", async () => {
    const balancer = new TestBalancer(1, { watch: true });
    balancer.probe.of("http://w0:80").load = { draining: true };
    await balancer.pass(1_100);
    expect(balancer.worker("w0")).toMatchObject({ health: "draining", eligible: true });
    const { lease } = balancer.send("f");
    expect(lease?.worker.id).toBe("w0");
    lease?.answered({ load: loadText({ draining: true }) });
    lease?.release();
    balancer.probe.of("http://w0:80").status = () => {
      throw new Error("it is gone");
    };
    await balancer.pass(7_000);
    expect(balancer.send("f").error?.code).toBe("OL_BALANCER_NO_WORKER");
  });

  it("gets no calls while its checks fail, and is there again 2 successes later, with a quarter of its slots", async () => {
    const balancer = new TestBalancer(2, { watch: true });
    await balancer.pass(10);
    const { status } = balancer.probe.of("http://w1:80");
    balancer.probe.of("http://w1:80").status = () => {
      throw new Error("it is dead");
    };
    await balancer.pass(4_000);
    expect(balancer.worker("w1").health).toBe("up");
    await balancer.pass(2_000);
    expect(balancer.worker("w1").health).toBe("down");
    for (const { lease } of balancer.sendMany(8, "f")) expect(lease?.worker.id).toBe("w0");
    balancer.probe.of("http://w1:80").status = status;
    await balancer.pass(2_000);
    expect(balancer.worker("w1").health).toBe("down");
    await balancer.pass(2_000);
    expect(balancer.worker("w1").health).toBe("up");
    expect(balancer.worker("w1").slotsGiven).toBeLessThan(4);
  });

  it("is not thought dead for a 503 that it gives because it drains, but for any other", async () => {
    const balancer = new TestBalancer(2, { watch: true });
    for (const id of ["w0", "w1"]) balancer.probe.of(`http://${id}:80`).status = () => 503;
    balancer.probe.of("http://w0:80").load = { draining: true };
    await balancer.pass(20_000);
    expect(balancer.worker("w0").health).toBe("draining");
    expect(balancer.worker("w1").health).toBe("down");
    balancer.probe.of("http://w0:80").load = {};
    balancer.probe.of("http://w0:80").status = () => 200;
    await balancer.pass(2_100);
    expect(balancer.worker("w0").health).toBe("up");
  });

  it("is taken back before its time is over if it passes its checks meanwhile", async () => {
    const balancer = new TestBalancer(3, { watch: true });
    await balancer.pass(10);
    // Out for 1, 2, 4, 8 s: each time one failure is enough.
    const id = balancer.eject("f");
    for (const outMs of [1_000, 2_000, 4_000]) {
      await balancer.pass(outMs);
      const { lease } = balancer.send("f");
      lease?.failed("connect", true);
      lease?.release();
    }
    expect(balancer.worker(id).health).toBe("ejected");
    await balancer.pass(4_100);
    expect(balancer.worker(id).health).toBe("up");
  });

  it("does not wait for an answer to its check for more than 1 s", async () => {
    const balancer = new TestBalancer(2, { watch: true });
    const signals: AbortSignal[] = [];
    Object.assign(balancer.probe, {
      status: (_: URL, signal: AbortSignal) => {
        signals.push(signal);
        return new Promise((_resolve, reject) =>
          signal.addEventListener("abort", () => reject(signal.reason as Error)),
        );
      },
    });
    await balancer.pass(2_500);
    expect(signals.length).toBeGreaterThan(0);
    await balancer.pass(7_000);
    expect(balancer.dispatcher.snapshot().eligible).toBe(0);
    await balancer.dispatcher.close();
    expect(signals.every(({ aborted }) => aborted)).toBe(true);
  });
});
