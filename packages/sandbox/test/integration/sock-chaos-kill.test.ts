import { afterAll, describe, expect, it } from "vitest";

import { accounts, forgetAccounts } from "../support/accounts.ts";
import { TestCluster } from "../support/cluster.ts";
import { killRounds, killSandbox } from "../support/kill-rounds.ts";
import { Random } from "../support/random.ts";
import { scaled } from "../support/scale.ts";

const TEST_MS = scaled(180_000, 3 * 3_600_000);
const random = Random.fromEnvironment();
const plan = {
  rounds: scaled(10, 100),
  random,
  litter: { depth: scaled(500, 5_000), closed: scaled(10, 100), files: scaled(10_000, 100_000) },
  clients: scaled(2, 4),
  longestMs: scaled(500, 5_000),
};
console.info(`OL_TEST_SEED=${random.seed}`);

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
