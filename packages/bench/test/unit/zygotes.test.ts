import { readFile } from "node:fs/promises";

import { GrowingTree, NoZygotes } from "@ol/lambda";
import { describe, expect, it } from "vitest";

import { compareZygotePolicies, loadZygoteData, simulate } from "../../src/index.ts";
import { DEFAULT_WORKLOAD, generateWorkload } from "../../src/zygotes/workload.ts";

describe("the zygote simulator", () => {
  it("generates the same workload for the same seed, and another for another", async () => {
    const data = await loadZygoteData();
    const arrivals = (seed: number): unknown =>
      generateWorkload(data, { ...DEFAULT_WORKLOAD, seed }).arrivals.slice(0, 50);
    expect(arrivals(1)).toEqual(arrivals(1));
    expect(arrivals(1)).not.toEqual(arrivals(2));
  });

  it("has sets in which everything that is needed and there is named, and no start before its time", async () => {
    const data = await loadZygoteData();
    const { arrivals, sets, costs } = generateWorkload(data, { ...DEFAULT_WORKLOAD, seed: 3 });
    for (const { pins, requires } of sets) {
      expect(new Set(pins).size).toBe(pins.length);
      expect([...requires.values()].flat().every((pin) => pins.includes(pin))).toBe(true);
      expect(pins.every((pin) => costs.has(pin))).toBe(true);
    }
    const times = arrivals.map(({ atMs }) => atMs);
    expect(times).toEqual([...times].sort((a, b) => a - b));
    // A start every two seconds, on average.
    expect(times.length).toBeGreaterThan(6_500);
    expect(times.length).toBeLessThan(8_000);
  });

  it("counts a start without zygotes as a fork and all its imports", async () => {
    const data = await loadZygoteData();
    const workload = generateWorkload(data, { ...DEFAULT_WORKLOAD, seed: 1 });
    const total = workload.arrivals.reduce(
      (sum, { set }) => sum + 3 + set.pins.reduce((ms, pin) => ms + (workload.costs.get(pin)?.ms ?? 0), 0),
      0,
    );
    const result = simulate(workload, new NoZygotes());
    expect(result.meanMs).toBeCloseTo(total / workload.arrivals.length);
    expect(result).toMatchObject({ builds: 0, buildSec: 0, mostMb: 0 });
  });

  it.each([1, 2])(
    "shows what the project promises of `auto`, with seed %i",
    async (seed) => {
      const { workloads } = await compareZygotePolicies({ seeds: [seed], progress: () => undefined });
      const meanMs = (name: string): number =>
        workloads[0]?.runs.find(({ policy }) => policy === name)?.meanMs ?? Number.NaN;
      expect(meanMs("auto")).toBeLessThan(meanMs("off") * 0.35);
      expect(meanMs("auto")).toBeLessThan(meanMs("tree: fitted to this trace") * 1.25);
      expect(meanMs("auto")).toBeLessThan(meanMs("tree: the original's default"));
    },
    60_000,
  );

  it("never has more memory in zygotes than there is, but for the build that shows how large it is", async () => {
    const data = await loadZygoteData();
    const workload = generateWorkload(data, { ...DEFAULT_WORKLOAD, seed: 4 });
    const policy = new GrowingTree({ budgetMb: workload.budgetMb });
    const { mostMb } = simulate(workload, policy);
    expect(mostMb).toBeGreaterThan(workload.budgetMb * 0.9);
    expect(mostMb).toBeLessThan(workload.budgetMb * 1.1);
    expect(policy.snapshot(0).usedMb).toBeLessThanOrEqual(workload.budgetMb);
  });

  it("says where its data are from", async () => {
    const text = await readFile(new URL("../../data/README.md", import.meta.url), "utf8");
    for (const name of ["requirement-sets.json", "pin-costs.json", "default-tree.json"])
      expect(text).toContain(name);
  });
});
