import { describe, expect, it } from "vitest";

import { DEFAULT_MIXED, generateMixed, loadImportLines, loadZygoteData } from "../../src/index.ts";
import { nameOf } from "../../src/zygotes/data.ts";

const generate = async (seed: number): Promise<ReturnType<typeof generateMixed>> =>
  generateMixed(await loadZygoteData(), await loadImportLines(), { ...DEFAULT_MIXED, seed });

describe("the mixed workload", () => {
  it("is the same for the same seed, and another for another", async () => {
    expect(await generate(1)).toEqual(await generate(1));
    expect(await generate(1)).not.toEqual(await generate(2));
  });

  it("asks for packages that were measured, each in one version, with all that they need", async () => {
    const { costs } = await loadZygoteData();
    for (const { pins, imports } of (await generate(3)).lambdas) {
      const names = pins.map((pin) => nameOf(pin));
      expect(new Set(names).size).toBe(names.length);
      expect(
        names.flatMap((name) => costs.get(name)?.requires ?? []).every((name) => names.includes(name)),
      ).toBe(true);
      expect(imports.length).toBeGreaterThan(0);
    }
  });

  it("has no two lambdas with the same imports, and calls the first one most", async () => {
    const { lambdas, calls } = await generate(4);
    expect(new Set(lambdas.map(({ imports }) => imports.join())).size).toBe(lambdas.length);
    const counts = lambdas.map((_lambda, place) => calls.filter((call) => call === place).length);
    expect(Math.max(...counts)).toBe(counts[0]);
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(DEFAULT_MIXED.calls);
  });
});
