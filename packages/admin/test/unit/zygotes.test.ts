import { writeFileSync } from "node:fs";
import { join } from "node:path";

import { describe, expect, test } from "vitest";

import { admin, temporaryDirectory } from "../support/harness.ts";

const pin = (name: string): string => `${name}==1+000000000000`;

const startLine = (name: string, ms: number): string =>
  JSON.stringify({ cold: true, pins: [pin(name)], requires: {}, costs: { [pin(name)]: [ms, 10] } });

describe("ol-admin zygotes fit", () => {
  test("prints the tree that would have served the trace best, and what it would have spared", async () => {
    const cwd = temporaryDirectory();
    const lines = [
      ...Array.from({ length: 3 }, () => startLine("numpy", 100)),
      JSON.stringify({ cold: false, pins: [pin("numpy")] }),
      startLine("flask", 20),
    ];
    writeFileSync(join(cwd, "trace.jsonl"), `${lines.join("\n")}\n`);
    const outcome = await admin(["zygotes", "fit", "--trace=trace.jsonl", "--memory-mb", "18"], { cwd });
    expect(outcome.code).toBe(0);
    expect(JSON.parse(outcome.stdout)).toEqual({
      packages: [],
      children: [{ packages: ["numpy==1"], children: [] }],
    });
    expect(outcome.stderr).toBe(
      "4 starts imported 80.0 ms each without a zygote; with this tree it would be 5.5 ms, for 17 MB\n",
    );
  });

  test("names the first bad lines, and counts the others", async () => {
    const cwd = temporaryDirectory();
    const lines = [startLine("numpy", 100), ...Array.from({ length: 7 }, () => "no JSON")];
    writeFileSync(join(cwd, "t"), lines.join("\n"));
    const { code, stderr } = await admin(["zygotes", "fit", "--trace=t"], { cwd });
    expect(code).toBe(0);
    expect(stderr).toContain("t:2: skipped: no JSON\n");
    expect(stderr).toContain("t:6: skipped: no JSON\n");
    expect(stderr).not.toContain("t:7:");
    expect(stderr).toContain("7 lines were skipped; these are the first 5\n");
  });

  test.each([
    [["zygotes", "fit"], 2, "zygotes fit needs --trace=FILE\n"],
    [["zygotes", "fit", "--trace=nowhere"], 2, '--trace: there is no file "nowhere"\n'],
    [["zygotes", "grow"], 2, 'zygotes can show or fit, not "grow"\n'],
    [["zygotes", "fit", "--trace=empty", "--memory-mb=0"], 2, "--memory-mb must be a whole number"],
    [["zygotes", "fit", "--trace=empty"], 1, "empty has no start of a sandbox with packages in 0 lines"],
  ])("%j is refused in words", async (tokens, code, words) => {
    const cwd = temporaryDirectory();
    writeFileSync(join(cwd, "empty"), "");
    const outcome = await admin(tokens, { cwd });
    expect(outcome).toMatchObject({ code, stdout: "" });
    expect(outcome.stderr).toContain(words);
  });
});
