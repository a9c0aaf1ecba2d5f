import { silentLogger } from "@ol/common";
import { expect, it } from "vitest";

import { makeAutoscaler, Scaling } from "../../src/autoscaler.ts";
import { Fleet } from "../../src/fleet.ts";
import type { FunctionHost } from "../../src/function-host.ts";
import { Growth } from "../../src/growth.ts";

const makeGrowth = (): Growth =>
  new Growth(
    {} as FunctionHost,
    new Fleet(),
    { queued: 0, startOne: () => undefined, pump: () => undefined },
    new Scaling("f", makeAutoscaler, silentLogger),
  );

it("what a start takes is what the first one took, not a guess that later ones only approach", () => {
  const growth = makeGrowth();
  const guessMs = growth.meanStartMs;
  growth.noteStart(10 * guessMs);
  expect(growth.meanStartMs).toBe(10 * guessMs);
  growth.noteStart(20 * guessMs);
  expect(growth.meanStartMs).toBeCloseTo(15 * guessMs, 6);
});

it("a first start that was quick is not taken for what they all are", () => {
  const growth = makeGrowth();
  const guessMs = growth.meanStartMs;
  growth.noteStart(0);
  expect(growth.meanStartMs).toBe(guessMs);
  growth.noteStart(0);
  expect(growth.meanStartMs).toBeLessThan(guessMs);
});
