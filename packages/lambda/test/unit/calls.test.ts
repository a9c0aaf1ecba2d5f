import { describe, expect, it } from "vitest";

import { LIMITS, makeRig, resultOf } from "../harness.ts";

/** A function whose calls end when told to. */
const gate = () => {
  const waiting: (() => void)[] = [];
  let started = 0;
  return {
    code: {
      call: () => {
        started += 1;
        return new Promise<string>((resolve) => waiting.push(() => resolve("done")));
      },
    },
    started: () => started,
    open: () => waiting.splice(0).forEach((release) => release()),
  };
};

const until = async (condition: () => boolean): Promise<void> => {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
};

const timers = (): number =>
  process.getActiveResourcesInfo().filter((resource) => resource === "Timeout").length;

describe("calls", () => {
  it("come back with the function's reply", async () => {
    const rig = makeRig({ code: { echo: { call: (event) => event } } });
    expect(await rig.result("echo", { a: 1 })).toBe('{"a":1}');
  });

  // Whether one suffices shows in run times, and a machine that holds this process up makes them long.
  it("are all answered when no sandbox can be made any more while several are being made", async () => {
    let open = true;
    const beforeCreate = (_id: string, _spec: unknown, signal?: AbortSignal): Promise<void> | undefined =>
      open
        ? undefined
        : new Promise((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason)));
    const slow = { call: () => new Promise((resolve) => setTimeout(() => resolve("slow"), 100)) };
    const rig = makeRig({ code: { slow }, engine: { beforeCreate } });
    expect(await rig.result("slow")).toBe('"slow"');
    open = false;
    const results = Array.from({ length: 8 }, () => rig.result("slow"));
    await expect.poll(() => rig.pool.stats().creating).toBeGreaterThan(1);
    rig.engine.lose();
    const codes = new Set(await Promise.all(results));
    expect([...codes].every((code) => /^OL_SANDBOX_(CLOSED|DESTROYED|BROKER_LOST)$/.test(code))).toBe(true);
  });

  it("of a cold function, many at once, share one sandbox when one suffices", { retry: 3 }, async () => {
    const rig = makeRig({ code: { quick: { call: () => 1 } } });
    const results = await Promise.all(Array.from({ length: 16 }, () => rig.result("quick")));
    expect(results).toEqual(Array(16).fill("1"));
    expect(rig.created()).toBe(1);
  });

  it("that are slow get more sandboxes, up to the maximum", async () => {
    let running = 0;
    let most = 0;
    const call = async (): Promise<number> => {
      most = Math.max(most, (running += 1));
      await new Promise((resolve) => setTimeout(resolve, 60));
      return (running -= 1);
    };
    const rig = makeRig({ code: { slow: { call } }, slots: 4 });
    await Promise.all(Array.from({ length: 8 }, () => rig.result("slow")));
    expect([rig.created(), most]).toEqual([4, 4]);
  });

  it("never run more at once than there are slots, over all functions", async () => {
    let running = 0;
    let most = 0;
    const call = async () => {
      running += 1;
      most = Math.max(most, running);
      await new Promise((resolve) => setTimeout(resolve, 5));
      running -= 1;
      return 1;
    };
    const rig = makeRig({ code: { a: { call }, b: { call }, c: { call } }, slots: 2 });
    const names = ["a", "b", "c"].flatMap((name) => Array.from({ length: 6 }, () => name));
    const results = await Promise.all(names.map((name) => rig.result(name)));
    expect(results).toEqual(Array(18).fill("1"));
    expect(most).toBe(2);
  });

  it("of a name that is unknown leave no timer either, which would keep the process", async () => {
    const rig = makeRig({ queueTimeoutMs: 60_000 });
    // Whatever the first call sets up once.
    await rig.result("nobody");
    const before = timers();
    for (let call = 0; call < 20; call += 1) await rig.result(`nobody-${call}`);
    expect(timers()).toBeLessThan(before + 5);
  });

  it("of a name that is unknown are answered so, and nothing is kept", async () => {
    const rig = makeRig();
    expect(await rig.result("nobody")).toBe("OL_LAMBDA_UNKNOWN");
    expect(await rig.result("../x")).toBe("OL_BUNDLE_BAD_NAME");
    await expect(Promise.resolve(rig.manager.describe("nobody"))).rejects.toMatchObject({ status: 404 });
    expect(rig.manager.stats().functions).toEqual([]);
  });

  it("beyond the function's queue are refused at once", async () => {
    const { code, started, open } = gate();
    const rig = makeRig({ code: { gate: code }, slots: 1, maxQueuedPerFunction: 3 });
    const calls = [rig.call("gate")];
    await until(() => started() === 1);
    for (let more = 0; more < 3; more += 1) calls.push(rig.call("gate"));
    expect(await rig.result("gate")).toBe("OL_LAMBDA_QUEUE_FULL");
    for (let turn = 1; turn <= 4; turn += 1) {
      await until(() => started() === turn);
      open();
    }
    expect(await Promise.all(calls.map(async (call) => resultOf(await call.outcome)))).toEqual(
      Array(4).fill('"done"'),
    );
  });

  it("beyond the worker's queue are refused with 503", async () => {
    const { code, started, open } = gate();
    const rig = makeRig({ code: { gate: code, other: code }, slots: 1, maxQueued: 1 });
    const first = rig.call("gate");
    await until(() => started() === 1);
    const second = rig.call("gate");
    const third = rig.call("other");
    expect(resultOf(await third.outcome)).toBe("OL_LAMBDA_WORKER_FULL");
    expect(third.invocation.started).toBe(false);
    open();
    await first.outcome;
    await until(() => started() === 2);
    open();
    expect(resultOf(await second.outcome)).toBe('"done"');
  });

  it("that wait too long are refused and never started", async () => {
    const { code, started, open } = gate();
    const rig = makeRig({ code: { gate: code }, slots: 1, queueTimeoutMs: 40 });
    const first = rig.call("gate");
    await until(() => started() === 1);
    const second = rig.call("gate");
    expect(resultOf(await second.outcome)).toBe("OL_LAMBDA_QUEUE_TIMEOUT");
    expect(second.invocation.started).toBe(false);
    open();
    expect(resultOf(await first.outcome)).toBe('"done"');
    expect(started()).toBe(1);
  });

  it("are counted as come, and as what became of them, while the worker drains too", async () => {
    const rig = makeRig({ code: { a: { call: () => 1 } } });
    await rig.result("a");
    await rig.manager.drain();
    expect(await rig.result("a")).toBe("OL_LAMBDA_DRAINING");
    expect(rig.manager.stats().calls).toMatchObject({ accepted: 2, answered: 1, refused: 1 });
  });

  it("whose client leaves while they wait are never started", async () => {
    const { code, started, open } = gate();
    const rig = makeRig({ code: { gate: code }, slots: 1 });
    const first = rig.call("gate");
    await until(() => started() === 1);
    const second = rig.call("gate");
    second.invocation.cancel();
    expect(rig.manager.load().queue).toBe(0);
    open();
    await first.outcome;
    await rig.manager.drain();
    expect(started()).toBe(1);
    expect(second.sink.outcomes).toBe(0);
    expect(rig.manager.stats().calls).toMatchObject({ accepted: 2, answered: 1, dropped: 1 });
  });

  it("whose client leaves while they run keep the sandbox busy until they end", async () => {
    const { code, started, open } = gate();
    const rig = makeRig({ code: { gate: code }, slots: 1 });
    const first = rig.call("gate");
    await until(() => started() === 1);
    first.invocation.cancel();
    const second = rig.call("gate");
    expect(rig.manager.load()).toMatchObject({ busy: 1, queue: 1 });
    open();
    await until(() => started() === 2);
    open();
    expect(resultOf(await second.outcome)).toBe('"done"');
    expect(first.sink.outcomes).toBe(0);
    expect(rig.created()).toBe(1);
  });

  it("that come back from a sandbox as the worker closes are answered though the code is being checked", async () => {
    const engine = { beforeResume: () => new Promise(() => undefined) };
    const rig = makeRig({ code: { a: { call: () => 1 } }, registryCacheMs: 0, engine });
    await rig.result("a");
    const [sandbox] = rig.pool.sandboxes();
    await expect.poll(() => sandbox?.pause()).toBe(true);
    const first = rig.call("a");
    await until(() => sandbox?.inFlight === 1);
    rig.source.before = () => new Promise(() => undefined);
    const second = rig.call("a");
    await rig.manager.close();
    expect([resultOf(await first.outcome), resultOf(await second.outcome)]).toEqual(
      Array(2).fill("OL_LAMBDA_DRAINING"),
    );
  });

  it("that run on beside one over its time are cut when the worker closes, and their sandbox is gone then", async () => {
    let begun = 0;
    const app = (): Promise<never> => {
      begun += 1;
      return new Promise(() => undefined);
    };
    const rig = makeRig({ code: { a: { kind: "asgi", app } } });
    rig.source.lambdas.set("a", { dir: "a", config: { concurrency: 2 }, limits: { runtimeSec: 1 } });
    const first = rig.call("a");
    await until(() => begun === 1);
    await new Promise((resolve) => setTimeout(resolve, 500));
    const second = rig.call("a");
    await until(() => begun === 2);
    expect(resultOf(await first.outcome)).toBe("OL_SANDBOX_TIMEOUT");
    await rig.manager.close();
    expect([second.sink.outcomes, rig.pool.stats().sandboxes]).toEqual([1, 0]);
  });

  it("with a long reply pass it on in pieces, at the receiver's pace", async () => {
    const rig = makeRig({ code: { long: { call: () => Buffer.alloc(1_000_000, "x") } } });
    const { invocation, sink, outcome } = rig.call("long");
    sink.full = true;
    await until(() => sink.parts.length === 1);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(sink.parts.length).toBe(1);
    sink.full = false;
    invocation.resume();
    expect(resultOf(await outcome).length).toBe(1_000_000);
  });
});

describe("sandboxes that end in mid-call", () => {
  const exits = {
    call: (event: Buffer, { exit }: { exit: (exit: { reason: "exit"; code: number }) => void }) => {
      if (event.toString() !== '"exit"') return "fine";
      exit({ reason: "exit", code: 3 });
      return new Promise(() => undefined);
    },
  };

  it("answer that one call with the reason, and the next one gets a fresh sandbox", async () => {
    const rig = makeRig({ code: { exits } });
    expect(await rig.result("exits")).toBe('"fine"');
    expect(await rig.result("exits", "exit")).toBe("OL_SANDBOX_EXITED");
    expect(await rig.result("exits")).toBe('"fine"');
    expect(rig.created()).toBe(2);
  });

  it("never leave one of 16 calls at once unanswered, nor answer one twice", async () => {
    const rig = makeRig({ code: { exits } });
    const calls = Array.from({ length: 16 }, () => rig.call("exits", "exit"));
    const results = await Promise.all(calls.map(async (call) => resultOf(await call.outcome)));
    expect(results).toEqual(Array(16).fill("OL_SANDBOX_EXITED"));
    expect(calls.map((call) => call.sink.outcomes)).toEqual(Array(16).fill(1));
    await rig.manager.drain();
    await rig.manager.close();
    expect(rig.pool.stats().sandboxes).toBe(0);
  });

  it("between two calls cost nobody anything", async () => {
    const rig = makeRig({ code: { exits } });
    await rig.result("exits");
    const [sandbox] = rig.pool.sandboxes();
    rig.engine.end(sandbox?.id ?? "", { reason: "signal", signal: "SIGKILL" });
    await until(() => sandbox?.ended !== undefined);
    expect(await rig.result("exits")).toBe('"fine"');
  });

  it("are destroyed when a call runs over its time", async () => {
    const rig = makeRig({
      code: { hangs: { call: () => new Promise(() => undefined) } },
      limits: { ...LIMITS, runtimeSec: 0.05 },
    });
    expect(await rig.result("hangs")).toBe("OL_SANDBOX_TIMEOUT");
    await until(() => rig.pool.stats().sandboxes === 0);
  });

  it("fail the calls that wait, each once, when the engine is lost", async () => {
    const { code, started } = gate();
    const rig = makeRig({ code: { gate: code }, slots: 2 });
    const calls = Array.from({ length: 5 }, () => rig.call("gate"));
    await until(() => started() === 2);
    rig.engine.lose();
    const results = await Promise.all(calls.map(async (call) => resultOf(await call.outcome)));
    expect(results.filter((result) => result === "OL_SANDBOX_BROKER_LOST").length).toBe(3);
    expect(calls.map((call) => call.sink.outcomes)).toEqual(Array(5).fill(1));
  });
});

describe("a manager that is drained", () => {
  it("finishes what it has and takes nothing new", async () => {
    const { code, started, open } = gate();
    const rig = makeRig({ code: { gate: code }, slots: 1 });
    const [first, second] = [rig.call("gate"), rig.call("gate")];
    await until(() => started() === 1);
    let drained = false;
    const drain = rig.manager.drain().then(() => (drained = true));
    expect(await rig.result("gate")).toBe("OL_LAMBDA_DRAINING");
    open();
    await first.outcome;
    expect(drained).toBe(false);
    await until(() => started() === 2);
    open();
    expect(resultOf(await second.outcome)).toBe('"done"');
    await drain;
  });

  it("and closed while calls run answers them all", async () => {
    const { code, started } = gate();
    const rig = makeRig({ code: { gate: code }, slots: 2 });
    const calls = Array.from({ length: 4 }, () => rig.call("gate"));
    await until(() => started() === 2);
    await rig.manager.close();
    const results = await Promise.all(calls.map(async (call) => resultOf(await call.outcome)));
    expect(results.sort()).toEqual([
      "OL_LAMBDA_DRAINING",
      "OL_LAMBDA_DRAINING",
      "OL_SANDBOX_DESTROYED",
      "OL_SANDBOX_DESTROYED",
    ]);
    expect(rig.pool.stats().sandboxes).toBe(0);
  });
});
