import { execFile, execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";

import { describe, expect, it } from "vitest";

const directory = fileURLToPath(new URL("../python/", import.meta.url));
const MINORS = [9, 10, 11, 12, 13, 14];
const TIMEOUT_MS = 180_000;

/** A launcher such as pyenv's may be on the path for a version that it then refuses to run. */
function works(python: string): boolean {
  try {
    execFileSync(python, ["-c", "import sys; assert sys.version_info >= (3, 9)"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

function runTests(python: string): Promise<{ code: number; output: string }> {
  return new Promise((resolve) => {
    const child = execFile(
      python,
      ["-m", "unittest", "discover", "-s", directory, "-t", directory],
      { timeout: TIMEOUT_MS, maxBuffer: 1 << 24 },
      (_error, stdout, stderr) => {
        resolve({ code: child.exitCode ?? -1, output: stdout + stderr });
      },
    );
  });
}

const pythons = ["python3", ...MINORS.map((minor) => `python3.${minor}`).filter(works)];

describe("the guest runtime, tested by its own Python tests", () => {
  it.each(pythons)(
    "passes with %s",
    async (python) => {
      const { code, output } = await runTests(python);
      expect(output).toMatch(/^Ran [1-9]\d* tests[^]*^OK/m);
      expect(code).toBe(0);
    },
    TIMEOUT_MS,
  );
});
