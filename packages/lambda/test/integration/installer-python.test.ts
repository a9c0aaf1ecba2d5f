import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";

import { describe, expect, it } from "vitest";

const directory = fileURLToPath(new URL("../python/", import.meta.url));

describe("the installer, tested by its own Python tests", () => {
  it("passes", () => {
    const args = ["-B", "-m", "unittest", "discover", "-s", directory, "-t", directory];
    // unittest writes to standard error, and exits with 1 if a test failed.
    const output = execFileSync("sh", ["-c", 'exec python3 "$@" 2>&1', "sh", ...args], { encoding: "utf8" });
    expect(output).toMatch(/^Ran [1-9]\d* tests[^]*^OK/m);
  });
});
