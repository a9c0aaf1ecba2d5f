import { afterAll, describe, expect, it } from "vitest";

import { accounts, forgetAccounts } from "../support/accounts.ts";
import { TestCluster } from "../support/cluster.ts";
import { killRounds, killSandbox } from "../support/kill-rounds.ts";
import { Random } from "../support/random.ts";

const TEST_MS = 120_000;
const random = Random.fromEnvironment();
// A tenth of what the soak does (scripts/soaks/kills.mjs).
const plan = {
  rounds: 10,
  random,
  litter: { depth: 500, closed: 10, files: 10_000 },
  clients: 4,
  longestMs: 500,
};

afterAll(forgetAccounts);

describe.each(await accounts())("as $name", (account) => {
  it.each(["worker", "broker", "zygote"] as const)(
    "leaves nothing of a %s killed at a random moment under load, and works again",
    async (victim) => {
      await using cluster = await TestCluster.create(account);
      expect(await killRounds(cluster, victim, plan)).toEqual([]);
    },
    TEST_MS,
  );

  it("fails exactly the call of a sandbox that is killed, and makes a fresh one", async () => {
    await using cluster = await TestCluster.create(account);
    await using worker = await cluster.start();
    expect(await killSandbox(worker)).toMatch(/^OL_SANDBOX_(EXITED|DESTROYED)$/);
    expect(await worker.call({ handler: "hello", event: "next" })).toBe("next");
    const { log } = await worker.stats();
    expect(log.filter(({ level }) => level === "error")).toEqual([]);
  });
});
