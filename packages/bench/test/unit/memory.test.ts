import { describe, expect, it } from "vitest";

import { parentOf, pssOf } from "../../src/memory.ts";

describe("memory of processes", () => {
  it("finds the parent also when the command's name holds brackets and spaces", () => {
    expect(parentOf("42 (a) b (c) S 7 42 42 0")).toBe(7);
  });

  it("reads the Pss line and takes a process without memory as zero", () => {
    const rollup = "Rss:    2000 kB\nPss:                1462 kB\nPss_Anon: 900 kB\n";
    expect(pssOf(rollup)).toBe(1462);
    expect(pssOf("")).toBe(0);
  });
});
