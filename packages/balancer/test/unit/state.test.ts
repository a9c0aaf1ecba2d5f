import { formatWarm, parseWarm } from "@ol/common";
import { describe, expect, it } from "vitest";

import { parseState } from "../../src/workers/state-report.ts";
import { WarmSet } from "../../src/workers/warm-set.ts";
import { TestBalancer } from "../support/balancer.ts";
import { loadOf, loadText } from "../support/workers.ts";

const report = (text: string) => {
  const parsed = parseWarm(text);
  if (parsed === undefined) throw new Error(`not a report: ${text}`);
  return parsed;
};

describe("X-OL-Warm", () => {
  it("is read as it is written", () => {
    const text = "v=1;epoch=17;+f1,-f2@v1.2,~,+g@sha256:ab";
    expect(formatWarm(report(text))).toBe(text);
    expect(report("v=1;epoch=3;").changes).toEqual([]);
    expect(report("v=1;epoch=3").epoch).toBe(3);
  });

  it.each([
    "",
    "epoch=1",
    "v=2;epoch=1;",
    "v=1;epoch=x;",
    "v=1;epoch=1;f",
    `v=1;epoch=1;+${"f".repeat(400)}`,
  ])("is passed over if it is malformed or of another version: %s", (text) =>
    expect(parseWarm(text)).toBeUndefined(),
  );
});

describe("what is known to be warm", () => {
  it("follows the changes that lead on from what is known", () => {
    const warm = new WarmSet();
    warm.replace(10, ["a", "b"]);
    warm.report(report("v=1;epoch=12;+c,-a"));
    expect(["a", "b", "c"].map((name) => warm.has(name))).toEqual([false, true, true]);
    expect([warm.epoch, warm.stale]).toEqual([12, false]);
  });

  it("passes over what it knows already, whatever order replies come in", () => {
    const warm = new WarmSet();
    warm.replace(10, ["a"]);
    warm.report(report("v=1;epoch=13;-a,+b,-b"));
    warm.report(report("v=1;epoch=12;-a,+b"));
    warm.report(report("v=1;epoch=14;+b,-b,+a"));
    expect(["a", "b"].map((name) => warm.has(name))).toEqual([true, false]);
    expect(warm.stale).toBe(false);
  });

  it("is stale after a gap, before anything is known, and after a change without details", () => {
    const warm = new WarmSet();
    expect(warm.stale).toBe(true);
    warm.replace(10, []);
    warm.report(report("v=1;epoch=13;+a,+b"));
    expect([warm.stale, warm.has("a"), warm.epoch]).toEqual([true, false, 10]);
    warm.advance(13, report("v=1;epoch=13;+x,+a,+b").changes);
    expect([warm.stale, warm.has("a"), warm.has("x")]).toEqual([false, true, true]);
    warm.report(report("v=1;epoch=14;~a"));
    expect([warm.stale, warm.epoch]).toEqual([true, 13]);
  });
});

describe("the answer to GET /state", () => {
  const load = loadOf();

  it("is read, unknown fields passed over", () => {
    const functions = [{ name: "f", key: "k", limitMs: 5, runMs: 2, startMs: 90, x: 1 }];
    const state = parseState(
      { v: 1, load: { ...load, y: 2 }, epoch: 4, waitMs: 9, warm: ["f"], zygotes: ["k"], functions, z: 3 },
      undefined,
    );
    expect(state).toMatchObject({ epoch: 4, waitMs: 9, warm: { all: ["f"] }, zygotes: ["k"] });
    expect(state?.functions.get("f")).toEqual({ key: "k", limitMs: 5, runMs: 2, startMs: 90 });
  });

  it("may be the changes since the epoch that was asked about, and no other", () => {
    const value = { v: 1, load, epoch: 5, since: 3, changes: ["+a", "-b"] };
    expect(parseState(value, 3)?.warm).toEqual({
      since: [
        { kind: "+", name: "a" },
        { kind: "-", name: "b" },
      ],
    });
    expect(parseState(value, 2)).toBeUndefined();
    expect(parseState(value, undefined)).toBeUndefined();
  });

  it.each([
    null,
    [],
    "x",
    { v: 2, load, epoch: 1, warm: [] },
    { v: 1, load, epoch: -1, warm: [] },
    { v: 1, load: { ...load, busy: "3" }, epoch: 1, warm: [] },
    { v: 1, load: { ...load, draining: 1 }, epoch: 1, warm: [] },
    { v: 1, load, epoch: 1 },
    { v: 1, load, epoch: 1, warm: [1] },
    { v: 1, load, epoch: 1, warm: [], functions: [{ name: "f" }] },
    { v: 1, load, epoch: 1, warm: [], functions: {} },
    { v: 1, load, epoch: 1, warm: [], zygotes: "k" },
  ])("is none if it is malformed: %j", (value) => expect(parseState(value, undefined)).toBeUndefined());
});

describe("a dispatcher that watches its workers", () => {
  it("asks each for its state every second, for what came after the epoch that it knows", async () => {
    const balancer = new TestBalancer(2, { watch: true });
    balancer.probe.of("http://w0:80").state = { epoch: 7, warm: [] };
    await balancer.pass(2_100);
    const of = (host: string): unknown[] =>
      balancer.probe.asked.filter(([asked]) => asked === host).map(([, since]) => since);
    // The first was asked before the test could say anything.
    expect(of("w0")).toEqual([undefined, 1, 7]);
    expect(of("w1")).toEqual([undefined, 1, 1]);
  });

  it("asks at once after a gap, but not more than ten times a second", async () => {
    const balancer = new TestBalancer(1, { watch: true });
    await balancer.pass(500);
    const before = balancer.probe.asked.length;
    let epoch = 100;
    for (let count = 0; count < 40; count += 1) {
      const { lease } = balancer.send("f");
      epoch += 10;
      lease?.answered({ load: loadText(), warm: `v=1;epoch=${epoch};+f` });
      lease?.release();
      await balancer.pass(10);
    }
    const asked = balancer.probe.asked.length - before;
    expect(asked).toBeGreaterThanOrEqual(4);
    expect(asked).toBeLessThanOrEqual(5);
  });

  it("learns from replies where a function is warm", async () => {
    const balancer = new TestBalancer(4, { watch: true, policy: "Cost" });
    await balancer.pass(10);
    const { lease } = balancer.send("f");
    lease?.answered({ load: loadText(), warm: "v=1;epoch=2;+g" });
    lease?.release();
    expect(balancer.worker(lease?.worker.id ?? "").warm).toBe(1);
    expect(balancer.send("g").lease?.worker.id).toBe(lease?.worker.id);
  });

  it("goes on if a worker's state cannot be read", async () => {
    const balancer = new TestBalancer(1, { watch: true });
    balancer.probe.of("http://w0:80").state = { epoch: "x" };
    await balancer.pass(3_000);
    expect(balancer.worker("w0").health).toBe("up");
    balancer.probe.of("http://w0:80").state = { epoch: 9, warm: ["f", "g"] };
    await balancer.pass(1_100);
    expect(balancer.worker("w0").warm).toBe(2);
  });
});
