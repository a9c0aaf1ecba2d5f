import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";

import { BASELINES, verifyBaselines } from "../../src/baselines.ts";

describe("frozen baselines", () => {
  it("are what their recorded hashes say", async () => {
    await expect(verifyBaselines()).resolves.toBeUndefined();
  });

  it("have the same hashes in docs/benchmarks.md", async () => {
    const page = await readFile(new URL("../../../../docs/benchmarks.md", import.meta.url), "utf8");
    for (const [name, hash] of Object.entries(BASELINES))
      expect(page).toContain(`| \`${name}\` | \`${hash}\` |`);
  });
});
