import { fileURLToPath } from "node:url";

import { describe, expect, it } from "vitest";

import { countTests, skippedTests } from "../lib/count-tests.mjs";

const file = (status: string, ...tests: string[]): object => ({
  status,
  assertionResults: tests.map((test) => ({ status: test })),
});

describe("countTests", () => {
  it("adds up what passed, failed and was skipped in any way", () => {
    const testResults = [
      file("passed", "passed", "skipped", "todo"),
      file("failed", "passed", "failed", "failed", "pending"),
    ];
    expect(countTests({ testResults }, 1)).toEqual({ passed: 2, failed: 2, skipped: 3 });
  });

  it("counts a file that could not be loaded as one failure", () => {
    const testResults = [file("passed", "passed"), file("failed")];
    expect(countTests({ testResults }, 1)).toEqual({ passed: 1, failed: 1, skipped: 0 });
  });

  it("counts a run that failed outside of every test, or left no report, as one failure", () => {
    expect(countTests({ testResults: [file("passed", "passed")] }, 1)).toEqual({
      passed: 1,
      failed: 1,
      skipped: 0,
    });
    expect(countTests(undefined, 1)).toEqual({ passed: 0, failed: 1, skipped: 0 });
  });
});

describe("skippedTests", () => {
  it("names each test that was neither passed nor failed", () => {
    const assertionResults = [
      { status: "passed", fullName: "a" },
      { status: "skipped", fullName: "group b" },
      { status: "todo", fullName: "c" },
    ];
    const name = fileURLToPath(new URL("../../packages/x/test/unit/x.test.ts", import.meta.url));
    expect(skippedTests({ testResults: [{ name, assertionResults }] })).toEqual([
      "packages/x/test/unit/x.test.ts: group b",
      "packages/x/test/unit/x.test.ts: c",
    ]);
  });
});
