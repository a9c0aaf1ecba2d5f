import { writeFile } from "node:fs/promises";
import path from "node:path";

import { afterAll, describe, expect, it } from "vitest";

import { accounts, forgetAccounts } from "../support/accounts.ts";
import type { ChaosWorker } from "../support/chaos-worker.ts";
import { TestCluster, eventually } from "../support/cluster.ts";
import { treeOf } from "../support/leftovers.ts";
import { Random } from "../support/random.ts";

const random = Random.fromEnvironment();
const unfit = (message: RegExp): object => ({
  code: "OL_SANDBOX_HOST_UNFIT",
  message: expect.stringMatching(message) as string,
});
const delay = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Makes sandboxes that stay until one cannot be made; returns the others' ids and the error. */
const holdUntilRefused = async (worker: ChaosWorker): Promise<{ held: string[]; error: unknown }> => {
  const held: string[] = [];
  for (;;) {
    try {
      const sandbox = await worker.hold({ handler: "hello" });
      held.push(sandbox);
      await worker.ask("callHeld", { sandbox, event: 1 });
    } catch (error) {
      return { held, error };
    }
  }
};

/** Destroys all of them; a fresh one must work then. */
const expectRecovery = async (worker: ChaosWorker, held: readonly string[]): Promise<void> => {
  for (const sandbox of held) await worker.ask("destroyHeld", { sandbox });
  expect(await worker.call({ handler: "hello", event: "again" })).toBe("again");
};

/** Nothing but what an engine says at its start. */
const expectQuiet = async (worker: ChaosWorker): Promise<void> => {
  const { log, enforcement } = await worker.stats();
  expect(log.map(({ message }) => message)).toEqual(enforcement.notes);
};

afterAll(forgetAccounts);

describe.each(await accounts())("as $name", (account) => {
  it("needs a Python, and says so", async () => {
    await using cluster = await TestCluster.create({ ...account, path: "/nowhere" });
    await expect(cluster.start()).rejects.toMatchObject(unfit(/^Python 3 is needed.*no python3 on PATH/));
  });

  it("refuses a Python that is too old, by its version", async () => {
    await using cluster = await TestCluster.create(account);
    const python = path.join(cluster.directory, "python3");
    await writeFile(python, "#!/bin/sh\necho /usr/bin/python3.8\necho 3.8.18\n", { mode: 0o755 });
    await expect(cluster.start({ engine: { python } })).rejects.toMatchObject(
      unfit(/is Python 3\.8\.18.*3\.9/),
    );
  });

  it("refuses what is no Python in one line", async () => {
    await using cluster = await TestCluster.create(account);
    for (const python of ["/bin/true", "/bin/false", cluster.directory]) {
      const error = await cluster.start({ engine: { python } }).catch((reason: unknown) => reason as Error);
      expect(error).toMatchObject({ code: "OL_SANDBOX_HOST_UNFIT" });
      expect((error as Error).message).not.toContain("\n");
    }
  });

  it("ends with its worker also if the broker was stopped", async () => {
    await using cluster = await TestCluster.create(account);
    await using worker = await cluster.start();
    await worker.hold({ handler: "hello", ready: true });
    process.kill(worker.brokerPid, "SIGSTOP");
    await worker.kill();
    await using next = await cluster.start();
    expect(cluster.leftovers(next)).toEqual([]);
    expect(await next.call({ handler: "hello", event: 1 })).toBe(1);
  });

  it("tells callers while the broker is stopped, and goes on when it does", async () => {
    await using cluster = await TestCluster.create(account);
    await using worker = await cluster.start({ createMs: 300 });
    process.kill(worker.brokerPid, "SIGSTOP");
    const call = worker.call({ handler: "hello", event: 1 });
    await expect(call).rejects.toMatchObject({ code: "OL_SANDBOX_CREATE_FAILED" });
    process.kill(worker.brokerPid, "SIGCONT");
    await expect
      .poll(() => worker.call({ handler: "hello", event: 2 }).catch(() => "too early"), { timeout: 5_000 })
      .toBe(2);
    await expect.poll(async () => (await worker.stats()).pool.promisedMb, { timeout: 5_000 }).toBe(0);
  });

  it("lets calls wait while a zygote is stopped", async () => {
    await using cluster = await TestCluster.create(account);
    await using worker = await cluster.start();
    await worker.call({ handler: "hello", event: 0 });
    const { zygote } = treeOf(worker.brokerPid);
    process.kill(zygote, "SIGSTOP");
    const calls = [1, 2, 3, 4].map((event) => worker.call({ handler: "hello", event }));
    await delay(500);
    process.kill(zygote, "SIGCONT");
    expect(await Promise.all(calls)).toEqual([1, 2, 3, 4]);
    await expectQuiet(worker);
  });

  it("tells with which code a lambda exited, also if the zygote has no time to say so", async () => {
    await using cluster = await TestCluster.create(account);
    await using worker = await cluster.start();
    const held = await worker.hold({ handler: "leave", ready: true });
    const { zygote } = treeOf(worker.brokerPid);
    process.kill(zygote, "SIGSTOP");
    const call = worker.ask("callHeld", { sandbox: held, event: 3 });
    const timer = setTimeout(() => process.kill(zygote, "SIGCONT"), 600);
    await expect(call).rejects.toMatchObject({ message: expect.stringContaining("code 3") as string });
    clearTimeout(timer);
  });

  it("replaces a tree whose init is killed", async () => {
    await using cluster = await TestCluster.create(account);
    await using worker = await cluster.start();
    const held = await worker.hold({ handler: "nap", ready: true });
    const call = worker.ask("callHeld", { sandbox: held, event: 30 });
    const { init } = treeOf(worker.brokerPid);
    process.kill(init, "SIGKILL");
    await expect(call).rejects.toMatchObject({ code: "OL_SANDBOX_DESTROYED" });
    expect(await worker.call({ handler: "hello", event: 1 })).toBe(1);
  });

  it("says which limit of open files stops it, and recovers", async () => {
    await using cluster = await TestCluster.create(account);
    await using worker = await cluster.start({ wrapper: ["prlimit", "--nofile=256:256"] });
    const { held, error } = await holdUntilRefused(worker);
    expect(held.length).toBeGreaterThan(15);
    expect(error).toMatchObject({
      code: "OL_SANDBOX_CREATE_FAILED",
      message: expect.stringContaining("open files") as string,
    });
    await expectRecovery(worker, held);
  });

  it("refuses an environment that is too large, at the cost of nobody else", async () => {
    await using cluster = await TestCluster.create(account);
    await using worker = await cluster.start();
    const environment = { LARGE: "x".repeat(70_000) };
    await expect(worker.call({ handler: "hello", environment })).rejects.toMatchObject({
      code: "OL_SANDBOX_BAD_OPTIONS",
    });
    expect(await worker.call({ handler: "hello", event: 1, environment: { L: "x".repeat(60_000) } })).toBe(1);
  });

  it("forgets sandboxes whose callers give up while they are made", async () => {
    await using cluster = await TestCluster.create(account);
    await using worker = await cluster.start();
    const outcomes = await Promise.all(
      Array.from({ length: 60 }, () =>
        worker.ask("abortCreate", { handler: "hello", afterMs: random.between(0, 30) }),
      ),
    );
    for (const outcome of outcomes) expect(outcome).toMatch(/^(made|OL_SANDBOX_CANCELLED)$/);
    const nothing = { sandboxes: 0, creating: 0, promisedMb: 0, engine: { sandboxes: 0 } };
    await expect.poll(async () => (await worker.stats()).pool, { timeout: 20_000 }).toMatchObject(nothing);
    await expectQuiet(worker);
    await worker.close();
    expect(await eventually(() => cluster.leftovers().length === 0, 5_000)).toBe(true);
  });

  it("leaves nothing of a worker that ends while it makes sandboxes", async () => {
    await using cluster = await TestCluster.create(account);
    for (let round = 0; round < 5; round += 1) {
      await using worker = await cluster.start();
      const calls = [1, 2, 3].map((event) => worker.call({ handler: "hello", event }).catch(() => "killed"));
      await delay(random.between(0, 20));
      await worker.kill();
      await Promise.all(calls);
    }
    await using last = await cluster.start();
    expect(cluster.leftovers(last), `OL_TEST_SEED=${random.seed}`).toEqual([]);
  });
});

describe.each((await accounts()).filter(({ name }) => name === "rootless"))("an ordinary user", (account) => {
  it("loses one call to a zygote that stays stopped, and gets another", async () => {
    await using cluster = await TestCluster.create(account);
    await using worker = await cluster.start({ createMs: 60_000 });
    expect(await worker.call({ handler: "hello", event: 0 })).toBe(0);
    await expect.poll(async () => (await worker.stats()).pool.engine.prepared).toBe(1);
    const { zygote } = treeOf(worker.brokerPid);
    process.kill(zygote, "SIGSTOP");
    // The first has a process that was forked before; the second has to wait for one.
    expect(await worker.call({ handler: "hello", event: 1 })).toBe(1);
    await expect(worker.call({ handler: "hello", event: 2 })).rejects.toMatchObject({
      // It said nothing for too long, or it was ended with its tree: whichever comes first.
      code: expect.stringMatching(/^OL_SANDBOX_(PROTOCOL|DESTROYED)$/) as string,
    });
    await expect
      .poll(() => worker.call({ handler: "hello", event: 3 }).catch(() => "too early"), { timeout: 20_000 })
      .toBe(3);
    await expect.poll(async () => (await worker.stats()).pool.promisedMb, { timeout: 5_000 }).toBe(0);
  });

  it("is told which setting forbids user namespaces", async () => {
    await using cluster = await TestCluster.create(account);
    // One namespace may be made in the first, and that is the one the engine then runs in.
    const script = `echo 1 > /proc/sys/user/max_user_namespaces && exec unshare -U --map-user=1000 --map-group=1000 "$@"`;
    const wrapper = ["unshare", "-Ur", "sh", "-c", script, "sh"];
    await expect(cluster.start({ wrapper })).rejects.toMatchObject(unfit(/user\.max_user_namespaces/));
  });

  it("is told when no more processes can be made, and recovers", async () => {
    await using cluster = await TestCluster.create(account);
    // In a user namespace of its own, where the user's other processes do not count.
    const wrapper = ["unshare", "-U", "--map-user=1000", "--map-group=1000", "prlimit", "--nproc=60:60"];
    await using worker = await cluster.start({ wrapper, createMs: 3_000 });
    const { held, error } = await holdUntilRefused(worker);
    expect(held.length).toBeGreaterThan(2);
    expect((error as { code: string }).code).toMatch(/^OL_SANDBOX_(CREATE_FAILED|DESTROYED|EXITED)$/);
    await expectRecovery(worker, held.slice(0, -1));
  });

  it("with root's number in a namespace of his own works like any other", async () => {
    await using cluster = await TestCluster.create(account);
    await using worker = await cluster.start({ wrapper: ["unshare", "-Ur"] });
    expect(await worker.call({ handler: "hello", event: 1 })).toBe(1);
    expect((await worker.stats()).enforcement.rootless).toBe(true);
  });
});
