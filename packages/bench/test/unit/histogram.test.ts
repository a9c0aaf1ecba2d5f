import * as fc from "fast-check";
import { expect, it } from "vitest";

import { Histogram } from "../../src/histogram.ts";

/** The least value that at least so large a share of the values are not above. */
const exactQuantile = (values: readonly number[], share: number): number => {
  const sorted = [...values].sort((one, other) => one - other);
  return sorted[Math.max(Math.ceil(share * sorted.length), 1) - 1] as number;
};

const filled = (values: readonly number[]): Histogram => {
  const histogram = new Histogram();
  for (const value of values) histogram.record(value);
  return histogram;
};

/** Times in ms from less than a us to a week, as many short ones as long ones: fast-check's doubles are nearly all 0. */
const times = fc.array(
  fc.integer({ min: -40_000, max: 87_000 }).map((power) => 10 ** (power / 10_000)),
  { minLength: 1, maxLength: 300 },
);

it("a histogram's quantiles are off by at most 0.05 % and half a us, whatever the values are", () => {
  fc.assert(
    fc.property(times, fc.integer({ min: 0, max: 1_000 }), (values, perMille) => {
      const share = perMille / 1_000;
      const exact = exactQuantile(values, share);
      expect(Math.abs(filled(values).quantile(share) - exact)).toBeLessThanOrEqual(exact * 0.0005 + 0.0005);
    }),
    { numRuns: 500 },
  );
});

it("a histogram is not exact: a bound of a tenth of that does not hold", () => {
  const values = Array.from({ length: 1_000 }, (_, at) => 10 + at * 0.0071);
  const worst = Math.max(
    ...values.map((_, at) =>
      Math.abs(filled(values).quantile((at + 1) / 1_000) / exactQuantile(values, (at + 1) / 1_000) - 1),
    ),
  );
  expect(worst).toBeGreaterThan(0.00005);
});

it("a histogram keeps its greatest value, its count and its mean exactly", () => {
  const { count, mean, max } = filled([1.23456, 2.34567, 999.98765]).summary();
  expect({ count, max }).toEqual({ count: 3, max: 999.98765 });
  expect(mean).toBeCloseTo((1.23456 + 2.34567 + 999.98765) / 3, 9);
});

it("a histogram of nothing knows nothing, and a time below 0 counts as 0", () => {
  expect(new Histogram().summary()).toMatchObject({ count: 0, median: Number.NaN, max: Number.NaN });
  expect(filled([-5]).summary()).toMatchObject({ count: 1, median: 0, max: 0 });
});
