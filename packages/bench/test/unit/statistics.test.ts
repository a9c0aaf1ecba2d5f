import { describe, expect, it } from "vitest";

import { pairedRatios, quantile, summarize } from "../../src/statistics.ts";

describe("statistics", () => {
  it("interpolates quantiles between neighbours", () => {
    expect(quantile([10, 20, 30, 40], 0.5)).toBe(25);
    expect(quantile([10, 20, 30, 40], 0)).toBe(10);
    expect(quantile([10, 20, 30, 40], 1)).toBe(40);
    expect(quantile([], 0.5)).toBeNaN();
  });

  it("summarizes values in any order without changing them", () => {
    const values = [5, 1, 3, 2, 4];
    expect(summarize(values)).toMatchObject({ count: 5, median: 3 });
    expect(values).toEqual([5, 1, 3, 2, 4]);
  });

  it("takes ratios pair by pair, so that a slow moment of the machine cancels out", () => {
    const baseline = [10, 100, 10];
    const values = [5, 50, 5];
    expect(pairedRatios(values, baseline)).toMatchObject({ count: 3, p10: 0.5, median: 0.5, p90: 0.5 });
  });

  it("leaves out pairs whose baseline is missing or zero", () => {
    expect(pairedRatios([1, 2, 3], [2, 0]).count).toBe(1);
  });
});
