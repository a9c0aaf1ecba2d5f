import { expect, it } from "vitest";

import { runReport } from "../../src/index.ts";

it("the load report is measured in one worker, which reports in some turns and does not in others", async () => {
  const told: string[] = [];
  const { rows, aims } = await runReport({
    rounds: 3,
    warmupMs: 1_000,
    turnMs: 100,
    connections: 4,
    progress: (what) => told.push(what),
  });
  expect(told).toEqual(["round 1 of 3"]);
  expect(rows.map(({ name, values }) => [name, values.count])).toEqual([
    ["without: CPU a call", 3],
    ["with the report: CPU a call", 3],
    ["without, once more: CPU a call", 3],
  ]);
  // Of a call, in us: it is none, nor a second.
  for (const { values } of rows) {
    expect(values.p10).toBeGreaterThan(1);
    expect(values.max).toBeLessThan(1_000_000);
  }
  expect(aims).toHaveLength(1);
}, 60_000);
