import { readFileSync } from "node:fs";

import { describe, expect, it } from "vitest";

import { systemReason } from "../../src/index.ts";

const thrownBy = (act: () => unknown): unknown => {
  try {
    act();
  } catch (error) {
    return error;
  }
  throw new Error("nothing was thrown");
};

describe("systemReason", () => {
  it("says a refusal of the kernel in words, with its code", () => {
    expect(systemReason(thrownBy(() => readFileSync("/")))).toBe("it is a directory (EISDIR)");
  });

  it("gives the bare code of a refusal that it has no words for", () => {
    expect(systemReason(Object.assign(new Error("x"), { code: "EWEIRD" }))).toBe("EWEIRD");
  });

  it("gives the message of an error that is not the kernel's", () => {
    expect(systemReason(new Error("out of cheese"))).toBe("out of cheese");
    expect(systemReason("text")).toBe("text");
  });
});
