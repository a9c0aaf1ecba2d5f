import { packageKey, parseWarm } from "@ol/common";
import { describe, expect, it } from "vitest";

import { differs } from "../../src/reported.ts";
import { WarmLog } from "../../src/warm-log.ts";
import { makeRig } from "../harness.ts";

describe("the log of changes", () => {
  it("counts changes from the time of its start, so that a worker that comes back is not taken for the old one", () => {
    const log = new WarmLog();
    expect(Math.abs(log.epoch - Date.now())).toBeLessThan(60_000);
    expect(log.text).toBe(`v=1;epoch=${log.epoch};`);
  });

  it("tells what has changed since an epoch, as long as it knows", () => {
    const log = new WarmLog(100);
    log.note("+", "a");
    log.note("-", "a");
    log.note("~", "b");
    expect(log.epoch).toBe(103);
    expect(log.since(101)).toEqual([
      { kind: "-", name: "a" },
      { kind: "~", name: "b" },
    ]);
    expect(log.since(103)).toEqual([]);
    expect([log.since(104), log.since(99), log.since(0)]).toEqual([undefined, undefined, undefined]);
    for (let count = 0; count < 5_000; count += 1) log.note("+", `f${count}`);
    expect(log.since(103)).toBeUndefined();
    expect(log.since(log.epoch - 1_000)).toHaveLength(1_000);
  });

  it("has a header with the last changes, short however many there are and however long their names", () => {
    const log = new WarmLog(0);
    for (let count = 0; count < 3_000; count += 1) {
      log.note(count % 2 === 0 ? "+" : "-", "n".repeat(count % 200) + String(count));
      const report = parseWarm(log.text);
      expect(log.text.length).toBeLessThan(360);
      expect(report?.epoch).toBe(count + 1);
      expect(report?.changes).toEqual(log.since(log.epoch - (report?.changes.length ?? 0)));
      expect(report?.changes.length).toBeGreaterThan(0);
    }
  });
});

describe("what balancers are told of a worker", () => {
  const code = { echo: { call: (event: unknown) => event }, dies: { call: () => 2 } };

  it("is which functions have a sandbox, and what is known of each", async () => {
    const rig = makeRig({ code, installWaitMs: 7_000 });
    const { epoch } = rig.manager.reported();
    expect(rig.manager.reported()).toMatchObject({ warm: [], functions: [], waitMs: 7_000 });
    await rig.result("echo");
    await rig.result("echo");
    const state = rig.manager.reported();
    expect(state.warm).toEqual(["echo"]);
    expect(state.functions).toHaveLength(1);
    expect(state.functions[0]).toMatchObject({ name: "echo", limitMs: 5_000 });
    expect(state.functions[0]).not.toHaveProperty("key");
    expect(state.functions[0]?.startMs).toBeGreaterThanOrEqual(0);
    expect(state.functions[0]?.runMs).toBeGreaterThanOrEqual(0);
    expect(state.epoch).toBeGreaterThan(epoch);
    expect(state.load).toEqual(rig.manager.load());
  });

  it("is what has changed since the epoch that they know, and all of it if that is too long ago", async () => {
    const rig = makeRig({ code });
    await rig.result("echo");
    const { epoch } = rig.manager.reported();
    expect(rig.manager.reported(epoch)).toMatchObject({ since: epoch, changes: [], functions: [] });
    expect(rig.manager.reported(epoch)).not.toHaveProperty("warm");
    rig.manager.sweep(performance.now() + 10 * 600_000);
    await expect.poll(() => rig.manager.reported(epoch).changes).toContain("-echo");
    expect(rig.manager.reported().warm).toEqual([]);
    expect(rig.manager.reported(epoch - 1_000_000)).toMatchObject({ warm: [] });
    expect(parseWarm(rig.manager.changes.text)?.changes).toContainEqual({ kind: "-", name: "echo" });
  });

  it("names no function whose sandboxes are for one call each as warm", async () => {
    const rig = makeRig({ code });
    rig.source.lambdas.set("once", { dir: "echo", config: { reuseSandbox: false } });
    await rig.result("once");
    await rig.result("once");
    const changes = rig.manager.reported(rig.manager.changes.epoch - 2)?.changes ?? [];
    expect(changes.filter((change) => change.startsWith("+"))).toEqual([]);
    expect(rig.manager.reported().warm).toEqual([]);
  });

  it("is told anew when its limits or its packages are others, or its start takes much longer", () => {
    const told = { name: "f", limitMs: 1_000, key: "k", startMs: 100 };
    expect(differs(undefined, told)).toBe(true);
    expect(differs(told, undefined)).toBe(true);
    expect(differs(undefined, undefined)).toBe(false);
    expect(differs(told, { ...told, startMs: 140, runMs: 5 })).toBe(false);
    expect(differs(told, { ...told, startMs: 160 })).toBe(true);
    expect(differs(told, { ...told, startMs: 60 })).toBe(true);
    expect(differs(told, { ...told, limitMs: 2_000 })).toBe(true);
    expect(differs(told, { ...told, key: "other" })).toBe(true);
  });

  it("has new limits as soon as the code has them", async () => {
    const rig = makeRig({ code, registryCacheMs: 0 });
    await rig.result("echo");
    const { epoch } = rig.manager.reported();
    rig.source.lambdas.set("echo", { dir: "dies", limits: { runtimeSec: 2 } });
    const reported = async (): Promise<unknown> => {
      await rig.result("echo");
      return rig.manager.reported(epoch).functions;
    };
    await expect.poll(reported).toMatchObject([{ name: "echo", limitMs: 2_000 }]);
  });
});

describe("the key of packages", () => {
  it("is the same for the same names in any order, and none for none", () => {
    expect(packageKey(["numpy", "pandas"])).toBe(packageKey(["pandas", "numpy", "numpy"]));
    expect(packageKey(["numpy"])).not.toBe(packageKey(["numpy", "pandas"]));
    expect(packageKey(["a-b"])).not.toBe(packageKey(["a", "b"]));
    expect(packageKey([])).toBeUndefined();
    expect(packageKey(["numpy"])).toMatch(/^[0-9a-f]{32}$/u);
  });
});
