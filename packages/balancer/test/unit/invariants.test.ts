import * as fc from "fast-check";
import { expect, it } from "vitest";

import { Model, step } from "../support/model.ts";

it.each(["LARD", "RoundRobin", "LeastConnections", "Hash", "Cost"])(
  "with %s every call has at most one worker at a time, and everything that was counted comes back to nothing",
  async (policy) => {
    const run = fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const model = new Model(policy);
        for (const one of steps) await model.act(one);
        await model.finish();
      }),
      { endOnFailure: true, numRuns: Number(process.env["OL_TEST_RUNS"] ?? "30") },
    );
    await expect(run).resolves.toBeUndefined();
  },
  60_000,
);
