// What a run of vitest comes to.
import { relative } from "node:path";

import { repositoryRoot } from "./workspace.mjs";

/**
 * Adds up vitest's JSON report. A file that could not be loaded has no tests in it and counts as one failure; so
 * does a run that failed although every test passed (an error outside of all tests).
 */
export const countTests = (results, exitCode) => {
  const counts = { passed: 0, failed: 0, skipped: 0 };
  for (const file of results?.testResults ?? []) {
    let failedHere = 0;
    for (const test of file.assertionResults) {
      if (test.status === "passed") counts.passed += 1;
      else if (test.status === "failed") failedHere += 1;
      else counts.skipped += 1;
    }
    counts.failed += file.status === "failed" ? Math.max(1, failedHere) : failedHere;
  }
  if (exitCode !== 0 && counts.failed === 0) counts.failed = 1;
  return counts;
};

/** What was skipped, by file and title. Tests that cannot run here must not be registered, so each is a mistake. */
export const skippedTests = (results) =>
  (results?.testResults ?? []).flatMap((file) =>
    file.assertionResults
      .filter((test) => test.status !== "passed" && test.status !== "failed")
      .map((test) => `${relative(repositoryRoot, file.name)}: ${test.fullName}`),
  );
