import { expect, it } from "vitest";

import type { SandboxEngine } from "../../src/engine.ts";
import {
  type ConformanceCase,
  CONFORMANCE_CASES,
  CONFORMANCE_HTTP_CASES,
  runConformanceCase,
} from "../../src/testing/index.ts";
import { SLOWNESS, scaled } from "./scale.ts";

// A container takes far longer than a fork.
const TIMES_SLOWER = scaled(6, 12) * SLOWNESS;
export const CASE_MS = 60_000 * TIMES_SLOWER;

const ALL: readonly ConformanceCase[] = [...CONFORMANCE_CASES, ...CONFORMANCE_HTTP_CASES];

/**
 * Registers what every engine must show, each with an engine of its own: in a soak all of it, else what `everyday` chooses, since making
 * engines and containers takes longer than most cases.
 */
export const registerConformance = (
  makeEngine: () => Promise<SandboxEngine>,
  everyday: (each: ConformanceCase, at: number) => boolean,
): void => {
  it.each(scaled(ALL.filter(everyday), ALL))(
    "$title",
    async (each) => {
      await expect(runConformanceCase(each, makeEngine, TIMES_SLOWER)).resolves.toBeUndefined();
    },
    CASE_MS,
  );
};
