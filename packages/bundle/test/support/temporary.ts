import { execFileSync } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { onTestFinished } from "vitest";

/** An empty directory that is gone after the test. */
export const temporaryDirectory = (): string => {
  const path = mkdtempSync(join(tmpdir(), "ol-bundle-"));
  // Not fs.rm: some tests make names that are not UTF-8.
  onTestFinished(() => void execFileSync("rm", ["-rf", "--", path]));
  return path;
};
