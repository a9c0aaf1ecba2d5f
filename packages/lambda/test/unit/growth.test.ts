import { expect, it } from "vitest";

import { Fleet } from "../../src/fleet.ts";
import type { FunctionHost } from "../../src/function-host.ts";
import { Growth } from "../../src/growth.ts";

it("what a start takes is what the first one took, not a guess that later ones only approach", () => {
  const growth = new Growth({} as FunctionHost, new Fleet(), {
    queued: 0,
    startOne: () => undefined,
    pump: () => undefined,
  });
  const guessMs = growth.meanStartMs;
  growth.noteStart(10 * guessMs);
  expect(growth.meanStartMs).toBe(10 * guessMs);
  growth.noteStart(20 * guessMs);
  expect(growth.meanStartMs).toBeGreaterThan(10 * guessMs);
  expect(growth.meanStartMs).toBeLessThan(11 * guessMs);
});
