import { expect, it } from "vitest";

import type { Outcome } from "../../src/index.ts";
import { Tally } from "../../src/play/tally.ts";

const outcome = (dueMs: number, endMs: number, status = 200, cold = false): Outcome => ({
  dueMs,
  endMs,
  status,
  cold,
  queueMs: 0,
});

const medians = (tally: Tally): Record<string, number> =>
  Object.fromEntries(
    tally.rows("", 2_000, {}).map(({ labels, values }) => [labels?.["what"], values.median]),
  );

it("a call's time counts from when it was due; what it took once it was sent, and how late that was, stand beside it", () => {
  const tally = new Tally(0);
  tally.add(outcome(0, 100, 200, true), 60);
  expect(medians(tally)).toMatchObject({
    "from when it was due": 100,
    "from when it was sent": 40,
    "cold starts, from when it was due": 100,
    "sent late": 60,
    throughput: 0.5,
  });
});

it("calls are counted by what came of them, each once", () => {
  const tally = new Tally(0);
  for (const status of [200, 200, 429, 503, 500, 0]) tally.add(outcome(0, 10, status), 0);
  tally.skip(0);
  expect(medians(tally)).toMatchObject({
    due: 7,
    answered: 2,
    "cold starts": 0,
    "told to come again (429, 503)": 2,
    failed: 2,
    "not sent": 1,
  });
});

it("seconds are those in which calls were due, also such without an answer; a curve ends where there are no more calls", () => {
  const tally = new Tally(1_000);
  for (let call = 0; call < 100; call += 1) tally.add(outcome(1_000, 1_000 + call + 1), 1_000);
  tally.add(outcome(3_500, 9_500, 503), 3_500);
  expect(tally.seconds()).toEqual([
    { second: 0, calls: 100, meanMs: 50.5, maxMs: 100 },
    { second: 1, calls: 0, meanMs: Number.NaN, maxMs: Number.NaN },
    { second: 2, calls: 1, meanMs: Number.NaN, maxMs: Number.NaN },
  ]);
  const curve = tally.curve();
  expect(curve[0]).toEqual([0, 1]);
  expect(curve.at(-1)?.[0]).toBe(2);
  expect(curve.find(([nines]) => nines === 1)?.[1]).toBeCloseTo(90, 0);
});
