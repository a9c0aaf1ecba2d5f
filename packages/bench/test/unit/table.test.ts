import { describe, expect, it } from "vitest";

import { atLeast, atMost } from "../../src/results.ts";
import { summarize } from "../../src/statistics.ts";
import { formatTable } from "../../src/table.ts";

describe("the table", () => {
  const results = {
    machine: { kernel: "6.1", cores: 2 },
    rows: [
      {
        name: "a start",
        unit: "ms" as const,
        values: summarize([1, 2, 3]),
        ratios: { floor: summarize([0.5]) },
      },
    ],
    aims: [atMost("start / floor", 0.5, 0.6), atLeast("throughput / bare", 0.7, 0.8)],
    notes: ["measured on a Tuesday"],
  };

  it("shows every row with its median and its ratio to the baseline of the same run", () => {
    expect(formatTable(results)).toMatch(/^a start +ms +3 +1\.20 +2\.00 +2\.80 +2\.98 +0\.50 x floor$/m);
  });

  it("says of each aim whether it was reached", () => {
    const text = formatTable(results);
    expect(text).toContain("aim: start / floor <= 0.6: 0.50 reached");
    expect(text).toContain("aim: throughput / bare >= 0.8: 0.70 MISSED");
  });
});
