import { describe, expect, it } from "vitest";

import type { Lease } from "../../src/lease.ts";
import type { DispatcherOptions } from "../../src/options.ts";
import { NEVER, TestBalancer } from "../support/balancer.ts";
import { loadText } from "../support/workers.ts";

const leaseOf = ({ lease }: { lease: Lease | undefined }): Lease => {
  if (lease === undefined) throw new Error("the call was not placed");
  return lease;
};

const made =
  (options: DispatcherOptions): (() => unknown) =>
  () =>
    new TestBalancer(1, options);

/** As for a worker that says X-OL-Not-Started. */
const sentBack = async (lease: Lease): Promise<Lease | undefined> => {
  lease.answered({});
  lease.failed("protocol", true);
  return lease.again(NEVER);
};

describe("a dispatcher", () => {
  it("gives a call a worker, and forgets it when the lease is released, however often that is", () => {
    const balancer = new TestBalancer(2);
    const lease = leaseOf(balancer.send("f"));
    expect(balancer.worker(lease.worker.id).inFlight).toBe(1);
    lease.answered({ load: loadText() });
    lease.release();
    lease.release();
    expect(balancer.worker(lease.worker.id)).toMatchObject({ inFlight: 0, load: 0 });
    expect(balancer.dispatcher.snapshot()).toMatchObject({ live: 0, waiting: 0 });
  });

  it("answers without workers with NO_WORKER and a time to come back", async () => {
    const balancer = new TestBalancer(0);
    const refused = balancer.dispatcher.acquire({ name: "f", idempotent: true, client: "" }, NEVER);
    await expect(refused).rejects.toMatchObject({
      code: "OL_BALANCER_NO_WORKER",
      status: 503,
      details: { retryAfterSec: 1 },
    });
  });

  it("takes the load of other balancers into account that a worker reports, without counting its own twice", () => {
    const balancer = new TestBalancer(1);
    const [one, two] = balancer.sendMany(2, "f").map(leaseOf) as [Lease, Lease];
    one.answered({ load: loadText({ busy: 4, queue: 3 }) });
    expect(balancer.worker("w0").load).toBe(7);
    one.release();
    expect(balancer.worker("w0").load).toBe(6);
    // Less than was sent to it: the rest is on its way.
    two.answered({ load: loadText({ busy: 0 }) });
    expect(balancer.worker("w0").load).toBe(1);
  });

  it("passes over reports that are none", () => {
    const balancer = new TestBalancer(1);
    for (const report of ["", "v=1", "v=2;slots=1;busy=99;queue=0;mem=0;drain=0", "v=1;slots=-4;busy=1"]) {
      const lease = leaseOf(balancer.send("f"));
      lease.answered({ load: report, warm: report });
      lease.release();
    }
    expect(balancer.worker("w0")).toMatchObject({ load: 0, slots: 4 });
  });

  it("says how long the first byte may take: the function's limit, the worker's queue, 5 s, and no longer than its caller waits", async () => {
    const balancer = new TestBalancer(1, { watch: true });
    expect(leaseOf(balancer.send("f")).firstByteMs).toBe(300_000 + 10_000 + 5_000);
    balancer.probe.of("http://w0:80").state = {
      epoch: 1,
      warm: [],
      waitMs: 7_000,
      functions: [{ name: "f", limitMs: 60_000 }],
    };
    await balancer.pass(1_000);
    expect(leaseOf(balancer.send("f")).firstByteMs).toBe(60_000 + 7_000 + 5_000);
    expect(leaseOf(balancer.send("f", { deadlineMs: 400 })).firstByteMs).toBe(400);
  });

  it("places functions by the packages that workers report", async () => {
    const balancer = new TestBalancer(16, { watch: true });
    for (let at = 0; at < 16; at += 1)
      balancer.probe.of(`http://w${at}:80`).state = {
        epoch: 1,
        warm: [],
        functions: ["a", "b", "c", "d", "e", "f"].map((name) => ({ name, key: "numpy", limitMs: 1 })),
      };
    await balancer.pass(1_100);
    const workers = ["a", "b", "c", "d", "e", "f"].map((name) => leaseOf(balancer.send(name)).worker.id);
    expect(new Set(workers).size).toBe(1);
  });

  it("takes no calls while it drains, and lets those that wait have their turn", () => {
    const balancer = new TestBalancer(1);
    const running = balancer.sendMany(16, "f");
    const waiting = balancer.send("f");
    balancer.dispatcher.drain();
    expect(balancer.send("f").error?.code).toBe("OL_BALANCER_DRAINING");
    leaseOf(running[0] ?? waiting).release();
    expect(waiting.lease).toBeDefined();
  });

  it("refuses those that wait when it is closed", async () => {
    const balancer = new TestBalancer(1);
    const running = balancer.sendMany(16, "f");
    const waiting = balancer.send("f");
    await balancer.dispatcher.close();
    expect(waiting.error?.code).toBe("OL_BALANCER_DRAINING");
    for (const { lease } of running) lease?.release();
    expect(balancer.dispatcher.snapshot().live).toBe(0);
  });

  it("refuses options that cannot be used, and thresholds that are known to collapse, with the reason", () => {
    expect(made({ loadHigh: 1.5 })).toThrow(/load_high: 1\.5 must be from 2 .* slow round robin/u);
    expect(made({ loadLow: 0 })).toThrow("load_low: 0");
    expect(made({ loadLow: 5 })).toThrow("load_low: 5 is more than load_high, 4");
    expect(made({ maxConn: 0 })).toThrow("max_conn: 0");
    expect(made({ queueTimeoutMs: Number.NaN })).toThrow("queue_timeout_ms: NaN");
    expect(made({ workers: [{ url: "ftp://a" }] })).toThrow("workers: url: ftp:");
    expect(made({ workers: [{ url: "http://a/b" }] })).toThrow("something behind its host and port");
    expect(made({ policy: "Lard" })).toThrow("did you mean LARD?");
  });
});

describe("the queue", () => {
  it("holds calls beyond what workers are sent at once, and serves them as places become free", () => {
    const balancer = new TestBalancer(2);
    const { limit } = balancer.dispatcher.snapshot();
    // 4 x 4 on one and 1 x 4 on the other: beyond that no call could be moved to a worker with little to do.
    expect(limit).toBe(20);
    const running = balancer.sendMany(20, "f").map(leaseOf);
    const waiting = balancer.sendMany(3, "f");
    expect(waiting.every(({ lease, error }) => lease === undefined && error === undefined)).toBe(true);
    running[0]?.release();
    running[1]?.release();
    expect(waiting.map(({ lease }) => lease !== undefined)).toEqual([true, true, false]);
  });

  it("holds 2 calls for each slot, then says QUEUE_FULL, and FUNCTION_BUSY to a function that has more than its share", () => {
    const balancer = new TestBalancer(1);
    balancer.sendMany(16, "f");
    // Half of 8: as much as it leaves to all others.
    expect(balancer.sendMany(4, "f").every(({ error }) => error === undefined)).toBe(true);
    expect(balancer.send("f").error).toMatchObject({ code: "OL_BALANCER_FUNCTION_BUSY", status: 429 });
    for (const name of ["a", "b", "c", "d"]) expect(balancer.send(name).error).toBeUndefined();
    expect(balancer.send("e").error).toMatchObject({ code: "OL_BALANCER_QUEUE_FULL", status: 503 });
    expect(balancer.dispatcher.snapshot()).toMatchObject({ waiting: 8, mostWaiting: 8 });
  });

  it("refuses a call that has waited for 10 s, or until its caller's deadline", () => {
    const balancer = new TestBalancer(1);
    const running = balancer.sendMany(16, "f");
    const patient = balancer.send("f");
    const hasty = balancer.send("g", { deadlineMs: 300 });
    balancer.clock.advance(299);
    expect(hasty.error).toBeUndefined();
    balancer.clock.advance(1);
    expect(hasty.error?.code).toBe("OL_BALANCER_QUEUE_TIMEOUT");
    balancer.clock.advance(9_699);
    expect(patient.error).toBeUndefined();
    balancer.clock.advance(1);
    expect(patient.error).toMatchObject({ code: "OL_BALANCER_QUEUE_TIMEOUT", status: 503 });
    leaseOf(running[0] ?? patient).release();
    expect(patient.lease).toBeUndefined();
  });

  it("refuses a call at once that would not have its turn before its caller's deadline", () => {
    const balancer = new TestBalancer(1, { queuePerSlot: 100 });
    let running = balancer.sendMany(16, "f").map(leaseOf);
    const waiting = balancer.sendMany(50, "f");
    // One each 100 ms.
    for (let count = 0; count < 30; count += 1) {
      balancer.clock.advance(100);
      running[0]?.release();
      running = [...running.slice(1), leaseOf(waiting[count] ?? balancer.send("f"))];
    }
    // 20 wait.
    expect(balancer.send("f", { deadlineMs: 1_500 }).error?.code).toBe("OL_BALANCER_QUEUE_TIMEOUT");
    expect(balancer.send("f", { deadlineMs: 3_000 }).error).toBeUndefined();
    // Another function takes turns with it.
    expect(balancer.send("g", { deadlineMs: 1_500 }).error).toBeUndefined();
  });

  it("gives the next place to the function with the fewest calls on workers", () => {
    const balancer = new TestBalancer(1, { queuePerSlot: 100 });
    const running = balancer.sendMany(16, "busy").map(leaseOf);
    const busy = balancer.sendMany(20, "busy");
    const quiet = balancer.sendMany(20, "quiet");
    for (const lease of running.slice(0, 8)) lease.release();
    expect(quiet.filter(({ lease }) => lease !== undefined)).toHaveLength(8);
    expect(busy.filter(({ lease }) => lease !== undefined)).toHaveLength(0);
    for (const lease of running.slice(8, 12)) lease.release();
    const served = (list: typeof busy): number => list.filter(({ lease }) => lease !== undefined).length;
    // 8 of each run: whichever ends a call has the fewest then.
    expect([served(busy), served(quiet)]).toEqual([4, 8]);
  });

  it("keeps to a function's own limit while others have room", () => {
    const balancer = new TestBalancer(1, { maxConnPerFunction: 2 });
    const [one, , three] = balancer.sendMany(3, "f");
    expect(three?.lease).toBeUndefined();
    expect(balancer.send("g").lease).toBeDefined();
    one?.lease?.release();
    expect(three?.lease).toBeDefined();
  });

  it("forgets a call whose client leaves", async () => {
    const balancer = new TestBalancer(1);
    const running = balancer.sendMany(16, "f");
    const client = new AbortController();
    const waiting = balancer.dispatcher.acquire({ name: "f", idempotent: true, client: "" }, client.signal);
    const behind = balancer.send("f");
    client.abort(new Error("gone"));
    await expect(waiting).rejects.toThrow("gone");
    running[0]?.lease?.release();
    expect(behind.lease).toBeDefined();
    expect(balancer.dispatcher.snapshot()).toMatchObject({ waiting: 0, live: 16, calls: { left: 1 } });
    const already = balancer.dispatcher.acquire({ name: "f", idempotent: true, client: "" }, client.signal);
    await expect(already).rejects.toThrow("gone");
  });

  it("sends no worker more than max_conn calls", () => {
    const balancer = new TestBalancer(2, { maxConn: 3 });
    const placed = balancer.sendMany(10, "f").filter(({ lease }) => lease !== undefined);
    expect(placed).toHaveLength(6);
    expect(balancer.worker("w0").inFlight).toBe(3);
  });
});

describe("a clock that is late", () => {
  it("places no call whose time in the queue is over", () => {
    const balancer = new TestBalancer(1);
    const running = balancer.sendMany(16, "f");
    const waiting = balancer.send("f");
    // The time is over, and its timer has not been called yet.
    const nowMs = balancer.clock.nowMs();
    balancer.clock.nowMs = () => nowMs + 10_001;
    leaseOf(running[0] ?? waiting).release();
    expect(waiting.lease).toBeUndefined();
    expect(waiting.error?.code).toBe("OL_BALANCER_QUEUE_TIMEOUT");
  });
});

describe("a retry", () => {
  it("goes to another worker if the call certainly has not begun", async () => {
    const balancer = new TestBalancer(3);
    const first = leaseOf(balancer.send("f"));
    first.failed("connect", true);
    const second = await first.again(NEVER);
    expect(second?.worker.id).not.toBe(first.worker.id);
    expect(balancer.worker(first.worker.id).inFlight).toBe(0);
    expect(balancer.dispatcher.snapshot()).toMatchObject({ live: 1, retrying: 1, calls: { retried: 1 } });
    second?.release();
    expect(balancer.dispatcher.snapshot()).toMatchObject({ live: 0, retrying: 0 });
  });

  it("is not granted to a call that may have begun, and ends its lease", async () => {
    const balancer = new TestBalancer(3);
    for (const idempotent of [false, true]) {
      const lease = leaseOf(balancer.send("f", { idempotent }));
      lease.failed("reset", false);
      expect(await lease.again(NEVER)).toBeUndefined();
    }
    const untold = leaseOf(balancer.send("f"));
    expect(await untold.again(NEVER)).toBeUndefined();
    expect(balancer.dispatcher.snapshot().live).toBe(0);
  });

  it("is granted to GET and HEAD if configured, but not after the reply's head or a timeout", async () => {
    const balancer = new TestBalancer(3, { retryIdempotent: true });
    const get = (): Lease => leaseOf(balancer.send("f", { idempotent: true }));
    const reset = get();
    reset.failed("reset", false);
    expect(await reset.again(NEVER)).toBeDefined();
    const late = get();
    late.failed("timeout", false);
    expect(await late.again(NEVER)).toBeUndefined();
    const answered = get();
    answered.answered({});
    answered.failed("reset", false);
    expect(await answered.again(NEVER)).toBeUndefined();
    const post = leaseOf(balancer.send("f"));
    post.failed("reset", false);
    expect(await post.again(NEVER)).toBeUndefined();
  });

  it("is granted twice, and never to a worker that had the call", async () => {
    const balancer = new TestBalancer(5);
    let lease: Lease | undefined = leaseOf(balancer.send("f"));
    const ids: string[] = [];
    while (lease !== undefined) {
      ids.push(lease.worker.id);
      lease.answered({ load: loadText() });
      lease.failed("protocol", true);
      lease = await lease.again(NEVER);
    }
    expect(ids).toHaveLength(3);
    expect(new Set(ids).size).toBe(3);
  });

  it("is not granted once its caller waits no longer", async () => {
    const balancer = new TestBalancer(3);
    const lease = leaseOf(balancer.send("f", { deadlineMs: 1_000 }));
    balancer.clock.advance(1_000);
    lease.failed("connect", true);
    expect(await lease.again(NEVER)).toBeUndefined();
    expect(balancer.dispatcher.snapshot()).toMatchObject({ live: 0, retrying: 0 });
  });

  it("is not granted where there is no other worker", async () => {
    const balancer = new TestBalancer(1);
    const lease = leaseOf(balancer.send("f"));
    lease.failed("connect", true);
    expect(await lease.again(NEVER)).toBeUndefined();
    expect(balancer.dispatcher.snapshot()).toMatchObject({ live: 0, retrying: 0 });
  });

  it("is granted to a fifth of the calls under way, but to three in any case", async () => {
    const balancer = new TestBalancer(8, { policy: "RoundRobin" });
    const few = balancer.sendMany(5, "f").map(leaseOf);
    const granted = await Promise.all(few.map(sentBack));
    expect(granted.filter((lease) => lease !== undefined)).toHaveLength(3);
    for (const lease of granted) lease?.release();
    const many = balancer.sendMany(60, "f").map(leaseOf);
    const more: (Lease | undefined)[] = [];
    for (const lease of many.slice(0, 30)) more.push(await sentBack(lease));
    // A call whose retry is refused is over: of 60 calls, and fewer each time.
    expect(more.filter((lease) => lease !== undefined)).toHaveLength(12);
    expect(balancer.dispatcher.snapshot().calls.retriesRefused).toBe(2 + 18);
  });

  it("takes the place that it gives back before others that wait", async () => {
    const balancer = new TestBalancer(2);
    const running = balancer.sendMany(20, "f").map(leaseOf);
    const waiting = balancer.send("f");
    running[0]?.failed("connect", true);
    const again = running[0]?.again(NEVER);
    expect((await again)?.worker.id).not.toBe(running[0]?.worker.id);
    expect(waiting.lease).toBeUndefined();
    running[1]?.release();
    expect(waiting.lease).toBeDefined();
  });
});
