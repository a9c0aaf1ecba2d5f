import { describe, expect, test } from "vitest";

import { faultsIn, installingIn, sandboxesIn } from "../../src/commands/status.ts";

const fault = 'Traceback:\n  File "f.py"\nValueError: \u001b[2Jred\n';

describe("what a worker says in /stats", () => {
  test("names each lambda whose newest code is not used, with the error's last line and what it serves", () => {
    const functions = [
      { name: "fine", code: "good" },
      { name: "old", code: "good", fault },
      { name: "bad", code: "broken", fault: "OL_LAMBDA_LOAD_FAILED" },
    ];
    expect(faultsIn("worker-0", { functions })).toEqual([
      { worker: "worker-0", lambda: "old", serving: "the code before", fault: "ValueError: \\x1b[2Jred" },
      { worker: "worker-0", lambda: "bad", serving: "errors", fault: "OL_LAMBDA_LOAD_FAILED" },
    ]);
  });

  test("names each lambda whose packages are being installed, and how many calls wait for that", () => {
    const functions = [
      { name: "fine", code: "good", installing: false, queued: 3 },
      { name: "new", code: "loading", installing: true, queued: 2 },
    ];
    expect(installingIn("worker-0", { functions })).toEqual([
      { worker: "worker-0", lambda: "new", waiting: 2 },
    ]);
  });

  test.each([undefined, null, 1, [], { functions: 1, sandboxes: "" }, { functions: [1, null] }])(
    "may be %j, of a worker of another version",
    (stats) => {
      expect(faultsIn("worker-0", stats)).toEqual([]);
      expect(sandboxesIn("worker-0", stats)).toEqual([]);
      expect(installingIn("worker-0", stats)).toEqual([]);
    },
  );
});
