import { describe, expect, it } from "vitest";

import { parseImports, unfitOf } from "../../src/index.ts";
import { sandboxError } from "../../src/errors.ts";

const DIRECTORIES = ["3.11-x86_64/numpy-2.2.6-1942fec4ee84", "3.11-x86_64/pandas-2.2.3-0123456789ab"];
const NUMPY = { directory: DIRECTORIES[0], ms: 61.5, kb: 9000, modules: ["numpy", "numpy.random"] };

const parse = (packages: unknown, directories: readonly string[] = DIRECTORIES): unknown =>
  parseImports(Buffer.from(JSON.stringify({ packages })), directories);

describe("parseImports", () => {
  it("reads what a guest says of its imports", () => {
    const pandas = { directory: DIRECTORIES[1], ms: 0, kb: 0, modules: [] };
    expect(parse([NUMPY, pandas])).toEqual({ packages: [NUMPY, pandas] });
    expect(parse([])).toEqual({ packages: [] });
  });

  it("keeps nothing that it does not know", () => {
    expect(parse([{ ...NUMPY, more: 1 }])).toEqual({ packages: [NUMPY] });
  });

  it.each([
    ["text", "not JSON"],
    ["null", "null"],
    ["a list", "[]"],
    ["no packages", "{}"],
    ["packages that are none", '{"packages": 7}'],
    ["a package that is none", '{"packages": [null]}'],
    ["bytes that are no UTF-8", Buffer.from([0x7b, 0xff, 0x7d])],
    ["deep nesting", "[".repeat(20_000)],
    [
      "an endless number",
      `{"packages": [{"directory": "${DIRECTORIES[0]}", "ms": 1e999, "kb": 1, "modules": []}]}`,
    ],
  ])("is undefined for %s", (_what, body) => {
    expect(parseImports(Buffer.from(body), DIRECTORIES)).toBeUndefined();
  });

  it.each([
    ["a directory of others", { directory: "3.11-x86_64/six-1.17.0-000000000000" }],
    ["a directory that is none", { directory: ["x"] }],
    ["a negative time", { ms: -1 }],
    ["a time that is text", { ms: "1" }],
    ["no time", { ms: null }],
    ["a week", { ms: 7 * 86_400_000 }],
    ["negative memory", { kb: -1 }],
    ["more memory than there is", { kb: 2 ** 41 }],
    ["no modules", { modules: undefined }],
    ["a module that is no name", { modules: ["numpy", "os; import sys"] }],
    ["a module that is no text", { modules: [1] }],
    ["a module of endless name", { modules: ["x".repeat(201)] }],
    ["more modules than anybody says", { modules: Array.from({ length: 65 }, (_, at) => `m${at}`) }],
  ])("is undefined for %s", (_what, change) => {
    expect(parse([{ ...NUMPY, ...change }])).toBeUndefined();
  });

  it("is undefined if a directory is said twice, or the sandbox has none", () => {
    expect(parse([NUMPY, NUMPY])).toBeUndefined();
    expect(parse([NUMPY], [])).toBeUndefined();
  });
});

describe("unfitOf", () => {
  it("names directories of a zygote's failure only", () => {
    const details = { unfit: ["a", "b"] };
    expect(unfitOf(sandboxError("OL_SANDBOX_ZYGOTE_FAILED", "why", { details }))).toEqual(["a", "b"]);
    expect(unfitOf(sandboxError("OL_SANDBOX_ZYGOTE_FAILED", "why"))).toEqual([]);
    expect(unfitOf(sandboxError("OL_SANDBOX_CANCELLED", "why", { details }))).toEqual([]);
    expect(unfitOf(new Error("why"))).toEqual([]);
  });
});
