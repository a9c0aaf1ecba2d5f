import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, readdirSync, statSync } from "node:fs";
import { mkdir, rm, symlink, writeFile } from "node:fs/promises";
import path from "node:path";

import { afterAll, describe, expect, it } from "vitest";

import { type Account, accounts, forgetAccounts } from "../support/accounts.ts";
import { sweepSock } from "../../src/sock/host.ts";
import { eventually, TestCluster } from "../support/cluster.ts";
import { cgroupsOf, filesOf, usageOf } from "../support/leftovers.ts";

afterAll(forgetAccounts);

/** Makes the files of a test belong to the user that the engine runs as. */
const give = (account: Account, ...files: string[]): void => {
  if (account.uid !== undefined)
    execFileSync("chown", ["-hR", `${account.uid}:${account.uid}`, "--", ...files]);
};

describe.each(await accounts())("the work directory, as $name", (account) => {
  it("may hold garbage under our names, which goes without being followed", async () => {
    await using cluster = await TestCluster.create(account);
    const { directory, workDir } = cluster;
    const outside = path.join(directory, "outside");
    await mkdir(outside);
    await writeFile(path.join(outside, "precious"), "", { mode: 0o400 });
    chmodSync(outside, 0o500);
    for (const name of ["handlers/hello/1-aaaaa", "trash/not-empty/deep", "run"])
      await mkdir(path.join(workDir, name), { recursive: true });
    await symlink(outside, path.join(workDir, "handlers/link"));
    await symlink(outside, path.join(workDir, "handlers/hello/link"));
    await symlink(outside, path.join(workDir, "trash/link"));
    await symlink(path.join(outside, "precious"), path.join(workDir, "run/1-aaaaa.sock"));
    await writeFile(path.join(workDir, "handlers/file"), "");
    await writeFile(path.join(workDir, "trash/file"), "");
    chmodSync(path.join(workDir, "run"), 0o777);
    chmodSync(path.join(workDir, "trash/not-empty"), 0);
    give(account, workDir, outside);
    // What is made ready in advance would be there, too.
    await using worker = await cluster.start({ engine: { prepared: 0 } });
    expect(filesOf(workDir)).toEqual([]);
    expect((await worker.stats()).swept).toBe(4);
    expect(statSync(path.join(workDir, "run")).mode & 0o777).toBe(0o700);
    expect(statSync(path.join(outside, "precious")).mode & 0o777).toBe(0o400);
    expect(statSync(outside).mode & 0o777).toBe(0o500);
    expect(await worker.call({ handler: "hello", event: 1 })).toBe(1);
  });

  it("may hold a trash with more than fits on a command line", async () => {
    await using cluster = await TestCluster.create(account);
    for (let number = 0; number < 2_500; number += 1)
      await mkdir(path.join(cluster.workDir, `trash/${"x".repeat(100)}-${number}/inner`), {
        recursive: true,
      });
    give(account, cluster.workDir);
    // What is made ready in advance would be there, too.
    await using worker = await cluster.start({ engine: { prepared: 0 } });
    expect(filesOf(cluster.workDir)).toEqual([]);
    expect(await worker.call({ handler: "hello", event: 1 })).toBe(1);
  });

  it.each(["run", "handlers", "trash"])("is refused by name if its %s is a link or a file", async (name) => {
    await using cluster = await TestCluster.create(account);
    const target = path.join(cluster.directory, "elsewhere");
    await mkdir(target);
    await mkdir(cluster.workDir);
    await symlink(target, path.join(cluster.workDir, name));
    give(account, cluster.workDir, target);
    const refused = {
      code: "OL_SANDBOX_HOST_UNFIT",
      message: expect.stringContaining(`${cluster.workDir}/${name}`) as string,
    };
    await expect(cluster.start()).rejects.toMatchObject(refused);
    expect(readdirSync(target)).toEqual([]);
    await rm(path.join(cluster.workDir, name));
    await writeFile(path.join(cluster.workDir, name), "");
    await expect(cluster.start()).rejects.toMatchObject(refused);
    await rm(path.join(cluster.workDir, name));
    await using worker = await cluster.start();
    expect(await worker.call({ handler: "hello", event: 1 })).toBe(1);
  });

  it("may have a long path with spaces, quotes, line breaks and other alphabets", async () => {
    await using cluster = await TestCluster.create(account);
    const workDir = path.join(cluster.directory, "a b'\"\n$HOME ü漢\\", "x".repeat(120), "y".repeat(200));
    await using worker = await cluster.start({ engine: { workDir } });
    expect(await worker.call({ handler: "hello", event: 1 })).toBe(1);
    await worker.call({ handler: "litter", event: { depth: 3, closed: 1, files: 3 } });
    await worker.close();
    expect(filesOf(workDir)).toEqual([]);
  });

  it("may lose directories of sandboxes that wait or live, which costs no call and no descriptor", async () => {
    await using cluster = await TestCluster.create(account);
    await using worker = await cluster.start({ engine: { mostPrepared: 1 } });
    const handlers = path.join(cluster.workDir, "handlers");
    const run = path.join(cluster.workDir, "run");
    const sockets = (): string[] => readdirSync(run).filter((name) => name.startsWith("."));
    const isPrepared = async (): Promise<void> => {
      await expect.poll(() => sockets().length, { timeout: 10_000 }).toBe(1);
    };
    const lose = async (): Promise<number> => {
      await isPrepared();
      await rm(path.join(handlers, ".waiting"), { recursive: true });
      expect(await worker.call({ handler: "hello", event: "no directory" })).toBe("no directory");
      await isPrepared();
      for (const name of sockets()) await rm(path.join(run, name));
      expect(await worker.call({ handler: "hello", event: "no socket" })).toBe("no socket");
      const held = await worker.hold({ handler: "hello", ready: true });
      await rm(path.join(handlers, "hello"), { recursive: true });
      await worker.ask("destroyHeld", { sandbox: held });
      await isPrepared();
      return usageOf(worker.brokerPid)?.descriptors ?? 0;
    };
    const before = await lose();
    for (let round = 0; round < 3; round += 1) await lose();
    // A few come and go.
    expect(await lose()).toBeLessThan(before + 5);
  });

  it("serves one engine at a time, and the next as soon as that one is gone", async () => {
    await using cluster = await TestCluster.create(account);
    await using first = await cluster.start();
    await expect(cluster.start()).rejects.toMatchObject({ code: "OL_SANDBOX_DIRECTORY_IN_USE" });
    expect(await first.call({ handler: "hello", event: 1 })).toBe(1);
    await first.kill();
    await using second = await cluster.start();
    expect(await second.call({ handler: "hello", event: 2 })).toBe(2);
  });

  it("is refused in one line if it cannot be made or written to", async () => {
    await using cluster = await TestCluster.create(account);
    const blocked = path.join(cluster.directory, "blocked");
    await writeFile(blocked, "");
    const engine = { workDir: path.join(blocked, "work") };
    const error = await cluster
      .start({ engine })
      .catch((reason: unknown) => reason as Error & { code: string });
    expect(error).toMatchObject({ code: "OL_SANDBOX_HOST_UNFIT" });
    expect((error as Error).message).toContain(blocked);
    expect((error as Error).message).not.toContain("\n");
  });
});

// A stranger's directory is no obstacle to root.
const ordinary = (await accounts()).filter(({ name }) => name === "rootless");

describe.each(ordinary)("a work directory of another user", (account) => {
  it("is refused in one line that names it", async () => {
    await using cluster = await TestCluster.create(account);
    // Root's.
    const workDir = "/usr";
    const error = await cluster
      .start({ engine: { workDir } })
      .catch((reason: unknown) => reason as Error & { code: string });
    expect(error).toMatchObject({ code: "OL_SANDBOX_HOST_UNFIT" });
    expect((error as Error).message).toContain("/usr/run");
    expect(existsSync("/usr/run")).toBe(false);
  });
});

it("a work directory may be gone: the groups of a killed worker are swept", async () => {
  const own = (await accounts()).find(({ uid }) => uid === undefined) as Account;
  await using cluster = await TestCluster.create(own);
  const worker = await cluster.start();
  expect(await worker.call({ handler: "hello", event: 1 })).toBe(1);
  process.kill(worker.brokerPid, "SIGKILL");
  await worker.kill();
  expect(await eventually(() => cluster.leftovers().every((line) => !line.startsWith("process")))).toBe(true);
  await rm(cluster.workDir, { recursive: true });
  // An ordinary user may have been given none.
  const least = process.getuid?.() === 0 ? 1 : 0;
  expect(cgroupsOf(cluster.id).length).toBeGreaterThanOrEqual(least);
  await sweepSock(cluster.engine);
  expect(cgroupsOf(cluster.id)).toEqual([]);
  expect(existsSync(cluster.workDir)).toBe(false);
  // Without anything that is left, nothing is started.
  expect(await sweepSock({ ...cluster.engine, python: "/nowhere" })).toEqual({ removed: 0 });
});
