import { availableParallelism } from "node:os";

import { defineConfig } from "vitest/config";

// Packages are tested from source: the condition below wins over "dist" in every package's exports.
// "import" must not be named: it is added where it belongs, and here it would also be met by a require().
const conditions = ["@ol/source", "node"];

// Tests that this user cannot run are not registered at all: a skipped test always means a mistake.
const notForThisUser = process.getuid?.() === 0 ? "**/*.user.test.ts" : "**/*.root.test.ts";

// An emulated machine takes longer (scripts/soaks/guest.sh).
const slowness = Number(process.env["OL_TEST_SLOWNESS"] ?? "1");

const project = (name: string, include: string[], timeoutMs: number) => ({
  extends: true as const,
  test: {
    name,
    include,
    exclude: ["**/node_modules/**", "**/dist/**", notForThisUser],
    testTimeout: timeoutMs * slowness,
    hookTimeout: timeoutMs * slowness,
    // Vitest's own default is a second, in which a busy machine may do nothing.
    expect: { poll: { timeout: (timeoutMs * slowness) / 2 } },
  },
});

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions, externalConditions: conditions } },
  test: {
    pool: "forks",
    // Vitest leaves one CPU to itself, which of two leaves one. Most tests wait for processes rather than work.
    maxWorkers: Math.max(2, availableParallelism()),
    projects: [
      project(
        "unit",
        [
          "packages/*/test/unit/**/*.test.ts",
          "packages/*/test/model/**/*.test.ts",
          "scripts/test/**/*.test.ts",
        ],
        10_000,
      ),
      project(
        "integration",
        ["packages/*/test/integration/**/*.test.ts", "apps/*/test/**/*.test.ts"],
        60_000,
      ),
      project("e2e", ["test/e2e/**/*.test.ts"], 180_000),
    ],
  },
});
