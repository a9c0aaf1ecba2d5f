import { existsSync } from "node:fs";

import { afterEach, describe, expect, it } from "vitest";

import { type ForkFloor, startForkFloor } from "../../src/fork-floor.ts";
import { makeCleanPython, measurePythonStart, realPython } from "../../src/python.ts";

describe("the baselines' drivers", () => {
  let floor: ForkFloor | undefined;
  afterEach(() => floor?.[Symbol.asyncDispose]());

  it("fork one child after the other, each of which answers one call", async () => {
    floor = await startForkFloor(await realPython());
    for (let round = 0; round < 3; round += 1) expect(await floor.measure()).toBeGreaterThan(0);
  });

  it("fail within their deadline when the interpreter does not exist", async () => {
    floor = await startForkFloor("/nonexistent/python3");
    await expect(floor.measure()).rejects.toMatchObject({ code: "OL_BENCH_HELPER_FAILED" });
  });

  it("time a bare Python from spawn to exit", async () => {
    const clean = await makeCleanPython(await realPython());
    try {
      expect(await measurePythonStart(clean.path)).toBeGreaterThan(0);
    } finally {
      await clean[Symbol.asyncDispose]();
    }
    expect(existsSync(clean.path)).toBe(false);
  });
});
