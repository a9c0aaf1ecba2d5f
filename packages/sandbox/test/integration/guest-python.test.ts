import { execFile, execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";

import { describe, expect, it } from "vitest";

const directory = fileURLToPath(new URL("../python/", import.meta.url));
const MINORS = [9, 10, 11, 12, 13, 14];
const TIMEOUT_MS = 400_000;

/** Undefined for one that is missing, too old, or a launcher (pyenv's) for a version that it refuses to run. */
function versionOf(python: string): string | undefined {
  const code = "import sys; assert sys.version_info >= (3, 9); print(sys.version)";
  try {
    return execFileSync(python, ["-c", code], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  } catch {
    return undefined;
  }
}

/** python3, and each other version on the path once. */
function installedPythons(): string[] {
  const found = new Map<string, string>([[versionOf("python3") ?? "", "python3"]]);
  for (const minor of MINORS) {
    const version = versionOf(`python3.${minor}`);
    if (version !== undefined && !found.has(version)) found.set(version, `python3.${minor}`);
  }
  return [...found.values()];
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

describe("the guest runtime, tested by its own Python tests", () => {
  it.each(installedPythons())(
    "passes with %s",
    async (python) => {
      const { code, output } = await runTests(python);
      expect(output).toMatch(/^Ran [1-9]\d* tests[^]*^OK/m);
      expect(code).toBe(0);
    },
    TIMEOUT_MS,
  );
});
