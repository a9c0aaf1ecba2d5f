import { generateKeyPairSync, type KeyObject, randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { silentLogger } from "@ol/common";
import { signBundle } from "@ol/registry-client";
import { describe, expect, it, vi } from "vitest";

import { HELLO, OTHER, setup, shelved } from "../support/code-source.ts";
import { soon } from "../support/registry.ts";

describe("code from a registry", () => {
  it("is fetched, unpacked and handed out under its digest", async () => {
    const { registry, cluster, source } = await setup();
    const digest = await registry.upload("a", {
      ...HELLO,
      "lib/one.py": "x = 1\n",
      "ol.yaml": "triggers:\n  http:\n    - method: GET\n",
      "packages.txt": "numpy==2.1.*\n",
    });
    const code = await source.resolve("a", soon());
    expect(code).toMatchObject({ name: "a", digest, dir: `a@${digest}` });
    expect(code.config.methods).toEqual(["GET"]);
    expect(code.requirements?.map(({ name }) => name)).toEqual(["numpy"]);
    const directory = join(cluster.codeDir("worker-0"), code.dir);
    expect((await readdir(directory)).toSorted()).toEqual(["f.py", "lib", "ol.yaml", "packages.txt"]);
    expect(await readFile(join(directory, "f.py"), "utf8")).toBe(HELLO["f.py"]);
  });

  it("is asked about with one small request, and with one for many who ask at the same time", async () => {
    const { registry, source } = await setup();
    await registry.upload("a", HELLO);
    const code = await source.resolve("a", soon());
    await expect.poll(() => registry.requests().length).toBeGreaterThan(0);
    const stamps = await Promise.all(Array.from({ length: 20 }, () => source.current("a", soon())));
    expect(new Set(stamps)).toEqual(new Set([code.stamp]));
    await expect.poll(() => registry.requests()).toEqual(["GetObject 304"]);
  });

  it("is fetched once by many who ask at the same time, of several workers too", async () => {
    const { registry, cluster, source } = await setup();
    const second = await cluster.source(registry.client(), { workerName: "worker-1" });
    await registry.upload("a", HELLO);
    const sources = [source, second, source, second, source];
    const codes = await Promise.all(
      sources.flatMap((one) => [one.resolve("a", soon()), one.resolve("a@latest", soon())]),
    );
    expect(new Set(codes.map(({ dir }) => dir)).size).toBe(1);
    expect(source.stats().pulls + second.stats().pulls).toBe(1);
  });

  it("has a stamp that changes when the tag moves, and then its new version", async () => {
    const { registry, source } = await setup();
    const one = await registry.upload("a", HELLO);
    const first = await source.resolve("a", soon());
    const two = await registry.upload("a", OTHER);
    expect(await source.current("a", soon())).not.toBe(first.stamp);
    expect(await source.resolve("a", soon())).toMatchObject({ digest: two });
    await registry.admin.rollback({ name: "a" }, soon());
    expect(await source.resolve("a", soon())).toMatchObject({ digest: one });
    expect(source.stats().pulls).toBe(2);
  });

  it("of a tag and of a digest is what they name, and a digest is asked about once for ever", async () => {
    const { registry, source } = await setup();
    const one = await registry.upload("a", HELLO, { tags: ["v1"] });
    const two = await registry.upload("a", OTHER);
    expect(await source.resolve("a@v1", soon())).toMatchObject({ name: "a", digest: one });
    expect(await source.resolve(`a@sha256:${two}`, soon())).toMatchObject({ name: "a", digest: two });
    await registry.kill();
    expect(await source.current(`a@sha256:${two}`, soon())).toBe(two);
    const again = await source.resolve(`a@sha256:${two}`, soon());
    expect(again.digest).toBe(two);
    expect(again.unconfirmed).toBeUndefined();
  });

  it("of another lambda is no version of this one, although it is on this machine", async () => {
    const { registry, source } = await setup();
    const digest = await registry.upload("a", HELLO);
    await source.resolve("a", soon());
    await expect(source.resolve(`b@sha256:${digest}`, soon())).rejects.toHaveProperty(
      "code",
      "OL_LAMBDA_UNKNOWN",
    );
  });

  it("is unknown if no tag names it, and leaves nothing behind", async () => {
    const { registry, cluster, source } = await setup();
    await registry.upload("a", HELLO);
    for (const name of ["b", "a@v1", `a@sha256:${"0".repeat(64)}`])
      await expect(source.resolve(name, soon())).rejects.toHaveProperty("code", "OL_LAMBDA_UNKNOWN");
    for (const name of ["b", "a@v1"])
      await expect(source.current(name, soon())).rejects.toHaveProperty("code", "OL_LAMBDA_UNKNOWN");
    expect(await shelved(cluster)).toEqual([]);
    expect(existsSync(join(cluster.shelfDir, "tags", "b"))).toBe(false);
  });

  it("that somebody put there by hand counts until there is a tag", async () => {
    const { registry, source } = await setup();
    const { file, digest } = await registry.pack(HELLO);
    await registry.byHand("a.tar.gz", file);
    const code = await source.resolve("a", soon());
    expect(code).toMatchObject({ digest, dir: `a@${digest}` });
    expect(await source.current("a", soon())).toBe(code.stamp);
    // Known already: the bundle is not fetched again.
    await source.resolve("a", soon());
    expect(source.stats().pulls).toBe(1);
    const tagged = await registry.upload("a", OTHER);
    expect(await source.resolve("a", soon())).toMatchObject({ digest: tagged });
  });

  it("serves on from this machine while the registry is down, and says that it could not be confirmed", async () => {
    const { registry, cluster, client, source } = await setup();
    const digest = await registry.upload("a", HELLO);
    const first = await source.resolve("a", soon());
    expect(first.unconfirmed).toBeUndefined();
    await source[Symbol.asyncDispose]();
    await registry.kill();
    const restarted = await cluster.source(client);
    const code = await restarted.resolve("a", soon());
    expect(code).toMatchObject({
      digest,
      stamp: first.stamp,
      unconfirmed: { code: "OL_REGISTRY_CLIENT_UNREACHABLE" },
    });
    expect(await readFile(join(cluster.codeDir("worker-0"), code.dir, "f.py"), "utf8")).toBe(HELLO["f.py"]);
    await expect(restarted.current("a", soon())).rejects.toHaveProperty(
      "code",
      "OL_REGISTRY_CLIENT_UNREACHABLE",
    );
    expect(restarted.stats()).toMatchObject({ failures: 2, failingSinceMs: expect.any(Number) });
    await expect(restarted.resolve("b", soon())).rejects.toHaveProperty(
      "code",
      "OL_REGISTRY_CLIENT_UNREACHABLE",
    );
    await registry.launch();
    expect(await restarted.current("a", soon())).toBe(code.stamp);
    expect(restarted.stats().failingSinceMs).toBeUndefined();
  });

  it("serves on with keys that the registry does not take any more", async () => {
    const { registry, cluster, source } = await setup();
    const digest = await registry.upload("a", HELLO);
    await source.resolve("a", soon());
    await source[Symbol.asyncDispose]();
    const restarted = await cluster.source(
      registry.client({ accessKey: "old-key", secretKey: "old-secret" }),
    );
    expect(await restarted.resolve("a", soon())).toMatchObject({
      digest,
      unconfirmed: { code: "OL_REGISTRY_CLIENT_DENIED" },
    });
  });

  it("does not come back after it was removed, whatever the registry does then", async () => {
    const { registry, cluster, source } = await setup();
    await registry.upload("a", HELLO);
    await source.resolve("a", soon());
    await registry.admin.remove({ name: "a" }, soon());
    await expect(source.current("a", soon())).rejects.toHaveProperty("code", "OL_LAMBDA_UNKNOWN");
    await source[Symbol.asyncDispose]();
    await registry.kill();
    const restarted = await cluster.source(registry.client());
    await expect(restarted.resolve("a", soon())).rejects.toHaveProperty(
      "code",
      "OL_REGISTRY_CLIENT_UNREACHABLE",
    );
  });

  it("goes from the shelf when no worker uses it and no tag names it, and not before", async () => {
    const { registry, cluster, source } = await setup({ graceMs: 0 });
    const second = await cluster.source(registry.client(), { workerName: "worker-1", graceMs: 0 });
    const one = await registry.upload("a", HELLO);
    const mine = await source.resolve("a", soon());
    const theirs = await second.resolve("a", soon());
    const two = await registry.upload("a", OTHER);
    const newer = await source.resolve("a", soon());
    source.release(mine);
    await source.collect();
    // The other worker has it still, and would even if it were gone from the shelf.
    expect((await shelved(cluster)).toSorted()).toEqual([one, two].toSorted());
    expect(await readFile(join(cluster.codeDir("worker-1"), theirs.dir, "f.py"), "utf8")).toBe(HELLO["f.py"]);
    second.release(theirs);
    // By itself.
    await expect.poll(() => shelved(cluster), { timeout: 10_000 }).toEqual([two]);
    source.release(newer);
    await source.collect();
    // Named by a tag: it is what a worker runs that is started while the registry is down.
    expect(await shelved(cluster)).toEqual([two]);
  });

  it("is fetched anew if somebody emptied the shelf, and those who run it do not notice", async () => {
    const { registry, cluster, source } = await setup();
    await registry.upload("a", HELLO);
    const code = await source.resolve("a", soon());
    // Again if the worker notes meanwhile that it is on the disk.
    for (const digest of await shelved(cluster))
      await rm(join(cluster.shelfDir, digest), { recursive: true, maxRetries: 10 });
    expect(await readFile(join(cluster.codeDir("worker-0"), code.dir, "f.py"), "utf8")).toBe(HELLO["f.py"]);
    source.release(code);
    await source[Symbol.asyncDispose]();
    const restarted = await cluster.source(registry.client());
    expect(await restarted.resolve("a", soon())).toMatchObject({ digest: code.digest });
    expect(restarted.stats().pulls).toBe(1);
  });

  it("is not believed after a power cut unless it was on the disk by then", async () => {
    const { registry, cluster, source } = await setup();
    const digest = await registry.upload("a", HELLO);
    source.release(await source.resolve("a", soon()));
    await source[Symbol.asyncDispose]();
    const entry = join(cluster.shelfDir, digest);
    // As if the machine had been started again since.
    const use = join(entry, "use");
    await writeFile(use, (await readFile(use, "utf8")).replace(/"boot":"[^"]*"/u, '"boot":"before"'));
    const durable = await cluster.source(registry.client());
    durable.release(await durable.resolve("a", soon()));
    expect(durable.stats().pulls).toBe(0);
    await durable[Symbol.asyncDispose]();
    await rm(join(entry, "durable"));
    const doubtful = await cluster.source(registry.client());
    await doubtful.resolve("a", soon());
    expect(doubtful.stats().pulls).toBe(1);
  });

  it("is run unsigned, with a warning, or not at all, as it is configured", async () => {
    const { registry, cluster, client } = await setup();
    const { privateKey, publicKey } = generateKeyPairSync("ed25519");
    const warn = vi.fn<(message: string) => void>();
    const logger = { ...silentLogger, warn };
    const sourceWith = (mode: "warn" | "enforce", workerName: string) =>
      cluster.source(client, { workerName, logger, signatures: { mode, trustedKeys: [publicKey] } });
    const warning = await sourceWith("warn", "worker-1");
    const enforcing = await sourceWith("enforce", "worker-2");
    const digest = await registry.upload("a", HELLO);
    await warning.resolve("a", soon());
    await warning.resolve("a", soon());
    expect(warn).toHaveBeenCalledTimes(1);
    for (const name of ["a", `a@sha256:${digest}`])
      await expect(enforcing.resolve(name, soon())).rejects.toMatchObject({
        code: "OL_REGISTRY_CLIENT_UNTRUSTED",
        causedBy: "user",
      });
    // A signature for another name is none.
    await registry.upload("a", HELLO, { signature: signBundle(privateKey, "b", digest) });
    await expect(enforcing.resolve("a", soon())).rejects.toHaveProperty(
      "code",
      "OL_REGISTRY_CLIENT_UNTRUSTED",
    );
    await registry.upload("a", HELLO, { signingKey: privateKey });
    await enforcing.resolve("a", soon());
    await enforcing.resolve(`a@sha256:${digest}`, soon());
    // Not by way of a worker that is started while the registry is down either.
    await registry.upload("a", OTHER);
    await warning.resolve("a", soon());
    await enforcing[Symbol.asyncDispose]();
    await registry.kill();
    const restarted = await sourceWith("enforce", "worker-2");
    await expect(restarted.resolve("a", soon())).rejects.toHaveProperty(
      "code",
      "OL_REGISTRY_CLIENT_UNTRUSTED",
    );
    await restarted.resolve(`a@sha256:${digest}`, soon());
  });

  it("is run after its signature was renewed, whichever tags and workers remember the old one", async () => {
    const { registry, cluster, client } = await setup();
    const [old, renewed] = [generateKeyPairSync("ed25519"), generateKeyPairSync("ed25519")];
    const sourceWith = (key: KeyObject) =>
      cluster.source(client, {
        workerName: `worker-${randomBytes(4).toString("hex")}`,
        signatures: { mode: "enforce", trustedKeys: [key] },
      });
    const digest = await registry.upload("a", HELLO, { signingKey: old.privateKey, tags: ["beta", "z"] });
    const before = await sourceWith(old.publicKey);
    await before.resolve(`a@sha256:${digest}`, soon());
    await registry.upload("a", HELLO, { signingKey: renewed.privateKey, tags: ["latest"] });
    const after = await sourceWith(renewed.publicKey);
    await after.resolve("a", soon());
    expect(await after.resolve(`a@sha256:${digest}`, soon())).toMatchObject({ digest });
    // Known now, and needed no more.
    await registry.kill();
    expect(await after.resolve(`a@sha256:${digest}`, soon())).toMatchObject({ digest });
  });

  it("is run although it cannot be noted down what the registry said", async () => {
    const { registry, cluster, source } = await setup();
    const digest = await registry.upload("a", HELLO);
    await writeFile(join(cluster.shelfDir, "tags"), "in the way");
    const codes = [await source.resolve("a", soon()), await source.resolve(`a@sha256:${digest}`, soon())];
    expect(codes.map((code) => code.digest)).toEqual([digest, digest]);
    for (const code of codes) source.release(code);
    await source[Symbol.asyncDispose]();
    expect(existsSync(join(cluster.codeDir("worker-0"), `a@${digest}`))).toBe(false);
  });

  it("names the lambdas that are to be kept warm, also while the registry is down", async () => {
    const { registry, cluster, client, source } = await setup();
    await registry.upload("warm", HELLO, { minInstances: 2 });
    await registry.upload("plain", OTHER);
    expect(await source.kept(soon())).toEqual(["warm"]);
    await source.resolve("warm", soon());
    await registry.kill();
    const restarted = await cluster.source(client, { workerName: "worker-1" });
    expect(await restarted.kept(soon())).toEqual(["warm"]);
  });

  it("is given up when the worker ends, however slow the registry is", async () => {
    const { registry, source } = await setup();
    await registry.upload("a", HELLO);
    registry.pause();
    const failed = source.resolve("a", soon()).catch((error: unknown) => error);
    await expect.poll(() => source.stats().revalidations).toBe(1);
    await source[Symbol.asyncDispose]();
    expect(await failed).toHaveProperty("message", "the worker ends");
    registry.resume();
  });
});
