import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

import { HOSTILE_BUNDLES } from "@ol/bundle/testing";
import { describe, expect, it } from "vitest";

import { HELLO, OTHER, setup, shelved } from "../support/code-source.ts";
import { soon } from "../support/registry.ts";

/** Everything that is there, links as what they are. */
const filesBelow = async (directory: string): Promise<readonly string[]> =>
  (await readdir(directory, { recursive: true })).toSorted();

describe("code from a registry", () => {
  it("that is no bundle is its author's mistake, is fetched once, and leaves nothing", async () => {
    const { registry, cluster, source } = await setup();
    await registry.uploadBytes("a", Buffer.from("no archive"));
    for (let time = 0; time < 3; time += 1)
      await expect(source.resolve("a", soon())).rejects.toMatchObject({
        code: "OL_BUNDLE_BAD_ARCHIVE",
        causedBy: "user",
      });
    expect(source.stats()).toMatchObject({ pulls: 0, pullFailures: 1 });
    expect(await shelved(cluster)).toEqual([]);
    expect(await readdir(join(cluster.shelfDir, ".new", "worker-0"))).toEqual([]);
    await registry.upload("a", HELLO);
    await source.resolve("a", soon());
  });

  it("that is hostile is refused for what it is, and nothing of it stays or gets anywhere", async () => {
    const { registry, cluster, source } = await setup({ graceMs: 0 });
    expect(HOSTILE_BUNDLES.length).toBeGreaterThan(60);
    const before = await filesBelow(cluster.directory);
    const [outcomes, expected] = [new Map<string, string>(), new Map<string, string>()];
    for (const [index, { name, code, packed }] of HOSTILE_BUNDLES.entries()) {
      await registry.uploadBytes(`f${index}`, packed);
      const failed: unknown = await source.resolve(`f${index}`, soon()).catch((error: unknown) => error);
      outcomes.set(name, (failed as { code?: string }).code ?? String(failed));
      expected.set(name, code);
    }
    expect(outcomes).toEqual(expected);
    await source.collect();
    await expect.poll(() => filesBelow(cluster.directory)).toEqual(before);
  }, 120_000);

  it("without a file to begin with, or with a mistake in ol.yaml, is its author's mistake too", async () => {
    const { registry, source } = await setup();
    await registry.upload("a", { "main.py": "" });
    await expect(source.resolve("a", soon())).rejects.toHaveProperty("code", "OL_BUNDLE_NO_HANDLER");
    await registry.upload("b", { ...HELLO, "ol.yaml": "limit: 1\n" });
    await expect(source.resolve("b", soon())).rejects.toHaveProperty("code", "OL_BUNDLE_BAD_CONFIG");
  });

  it("that is larger than it may be is not fetched to its end, nor unpacked", async () => {
    const { registry, cluster, client } = await setup();
    const limits = { maxPackedBytes: 1_000_000 };
    const source = await cluster.source(client, { workerName: "worker-1", limits });
    await registry.uploadBytes("a", gzipSync(Buffer.alloc(2_000_000, "x"), { level: 0 }));
    await expect(source.resolve("a", soon())).rejects.toHaveProperty("code", "OL_BUNDLE_TOO_LARGE");
    expect(await readdir(join(cluster.shelfDir, ".new", "worker-1"))).toEqual([]);
  });

  it("whose bytes are not those of its digest is not run, and not the author's mistake", async () => {
    const { registry, source } = await setup();
    const digest = await registry.upload("a", HELLO);
    const { file } = await registry.pack(OTHER);
    await registry.byHand(`handlers/a/blobs/${digest}.tar.gz`, file);
    await expect(source.resolve("a", soon())).rejects.toMatchObject({
      code: "OL_REGISTRY_CLIENT_BAD_DIGEST",
      causedBy: "system",
    });
  });

  it("that is gone although a tag points at it is not the author's mistake, and not unknown", async () => {
    const { registry, source } = await setup();
    const digest = await registry.upload("a", HELLO);
    await registry.byHand(`handlers/a/blobs/${digest}.tar.gz`);
    await expect(source.resolve("a", soon())).rejects.toMatchObject({
      code: "OL_LAMBDA_LOAD_FAILED",
      causedBy: "system",
    });
  });
});
