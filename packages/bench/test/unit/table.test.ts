import { describe, expect, it } from "vitest";

import { atLeast, atMost } from "../../src/results.ts";
import { summarize } from "../../src/statistics.ts";
import { formatTable, plotTable } from "../../src/table.ts";

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
    skipped: [{ name: "runc", reason: "it is not installed" }],
    notes: ["measured on a Tuesday"],
  };

  it("shows every row with its median and its ratio to the baseline of the same run", () => {
    expect(formatTable(results)).toMatch(
      /^a start +ms +3 +1\.20 +2\.00 +2\.80 +2\.98 +3\.00 +0\.50 x floor$/m,
    );
  });

  it("says of each aim whether it was reached", () => {
    const text = formatTable(results);
    expect(text).toContain("aim: start / floor <= 0.6: 0.50 reached");
    expect(text).toContain("aim: throughput / bare >= 0.8: 0.70 MISSED");
  });

  it("says what was left out, and why", () => {
    expect(formatTable(results)).toContain("skipped: runc: it is not installed");
  });

  it("is drawn with a panel for each unit, and the 99th percentile as an outline", () => {
    const drawn = plotTable({
      ...results,
      rows: [...results.rows, { name: "<many>", unit: "1/s", values: summarize([7]), ratios: {} }],
    });
    expect(drawn).toContain("median, ms");
    expect(drawn).toContain("median, 1/s");
    expect(drawn).toContain("&lt;many&gt;");
    // One value has no other percentile.
    expect(drawn.match(/stroke-dasharray/gu)).toHaveLength(1);
  });

  it("is drawn in other panels where somebody says so", () => {
    const drawn = plotTable(results, ({ name }) => ({ panel: `of ${name}`, label: "all" }));
    for (const { name, unit } of results.rows) expect(drawn).toContain(`of ${name}, ${unit}`);
    expect(drawn).not.toContain("median, ms");
  });
});
