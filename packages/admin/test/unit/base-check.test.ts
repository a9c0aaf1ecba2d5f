import { describe, expect, test } from "vitest";

import { admin, newCluster, temporaryDirectory } from "../support/harness.ts";

describe("base check", () => {
  test("prints what ol-worker found, harmlessly, and exits with 1 only if sandboxes do not run on it", async () => {
    const cwd = temporaryDirectory();
    const good = await admin(["base", "check"], { cwd });
    expect(good.code).toBe(0);
    expect(good.stdout).toMatch(/^ok {4}base +\/base\\x1b\[31m$/mu);
    // What lambdas can do without is no failure.
    expect(good.stdout).toMatch(/^-- {4}sqlite3 +ModuleNotFoundError$/mu);
    const bad = await admin(["base", "check"], { cwd, environment: { FAKE_WORKER: "bad-base" } });
    expect(bad.code).toBe(1);
    expect(bad.stdout).toMatch(/^FAIL {2}base/mu);
    const { stdout } = await admin(["base", "check", "--json"], { cwd });
    expect(JSON.parse(stdout)).toMatchObject({ base: "/base", optional: [{ name: "sqlite3", ok: false }] });
  });

  test("looks at the cluster's, which its configuration names", async () => {
    const { cwd } = await newCluster();
    const { stdout } = await admin(["base", "check", "--cluster=c"], { cwd });
    expect(stdout).toMatch(/^ok {4}configuration +[^\n]*\/c\/config\/template\.json$/mu);
  });

  test.each([[["base"]], [["base", "mend"]], [["base", "check", "x"]]])(
    "%j is wrong usage",
    async (tokens) => {
      const outcome = await admin(tokens, { cwd: temporaryDirectory() });
      expect(outcome).toMatchObject({ code: 2, stdout: "" });
      expect(outcome.stderr).toMatch(/^base [^\n]+\n$/u);
    },
  );
});
