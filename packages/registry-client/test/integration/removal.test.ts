import { expect, it, onTestFinished } from "vitest";

import type { RegistryClient } from "../../src/index.ts";
import { objectsOf } from "../../src/inventory.ts";
import { ObjectAccess } from "../../src/object-access.ts";
import { connectionOf } from "../../src/options.ts";
import { Removal } from "../../src/removal.ts";
import { contentOf } from "../../src/store-requests.ts";
import { Tags } from "../../src/tags.ts";
import { bundle, soon, textOf } from "../support/bundles.ts";
import { withEveryStore } from "../support/every-store.ts";
import { ADMIN } from "../support/stores.ts";

withEveryStore(({ ready, store }) => {
  /** What is in a client's bucket, past the client. */
  const objectsIn = ({ bucket }: RegistryClient): ObjectAccess => {
    const objects = new ObjectAccess(connectionOf({ endpoint: store().endpoint, bucket, ...ADMIN }));
    onTestFinished(() => objects.close());
    return objects;
  };

  it("does not remove what another tag still names", async () => {
    const client = await ready();
    const [one, two] = [await bundle("a"), await bundle("a")];
    await client.upload({ ...one, tags: ["latest", "stable"] }, { signal: soon() });
    await client.upload({ ...two, keep: 1 }, { signal: soon() });
    expect(await client.hasVersion("a", one.digest, soon())).toBe(true);
    await expect(client.remove({ name: "a", digest: one.digest }, soon())).rejects.toMatchObject({
      code: "OL_REGISTRY_CLIENT_IN_USE",
      message: expect.stringContaining("stable"),
    });
    await client.remove({ name: "a", tag: "stable" }, soon());
    await client.remove({ name: "a", digest: one.digest }, soon());
    expect(await client.hasVersion("a", one.digest, soon())).toBe(false);
    await expect(client.remove({ name: "a", digest: one.digest }, soon())).rejects.toHaveProperty(
      "code",
      "OL_REGISTRY_CLIENT_NO_VERSION",
    );
  });

  it("removes a whole lambda, and nothing of another one", async () => {
    const client = await ready();
    const [one, other] = [await bundle("a"), await bundle("ab")];
    await client.upload({ ...one, tags: ["latest", "v1"] }, { signal: soon() });
    await client.upload(other, { signal: soon() });
    const lock = { name: "a", digest: one.digest, python: "3.11", machine: "x86_64" };
    await client.writeLock(lock, "pins", soon());
    expect(await client.remove({ name: "a" }, soon())).toEqual({ objects: 4, bytes: 1_000 });
    expect((await client.list(soon())).map(({ name }) => name)).toEqual(["ab"]);
    await expect(client.remove({ name: "a" }, soon())).rejects.toHaveProperty(
      "code",
      "OL_REGISTRY_CLIENT_UNKNOWN",
    );
    await expect(client.download("a", one.digest, soon())).rejects.toHaveProperty(
      "code",
      "OL_REGISTRY_CLIENT_NO_VERSION",
    );
  });

  it("collects what no tag names and is old enough, and a dry run only says so", async () => {
    const client = await ready();
    const [one, two, three] = [await bundle("a"), await bundle("a"), await bundle("a")];
    for (const version of [one, two, three]) await client.upload(version, { signal: soon() });
    const lock = { name: "a", digest: one.digest, python: "3.11", machine: "x86_64" };
    await client.writeLock(lock, "pins", soon());
    expect(await client.gc({}, soon())).toMatchObject({ objects: 0 });
    // What was sent just now is safe: a tag may be on its way to it.
    expect(await client.gc({ keep: 2, dryRun: true }, soon())).toMatchObject({ objects: 0 });
    const would = await client.gc({ keep: 2, olderThanMs: 0, dryRun: true }, soon());
    expect(would).toEqual({
      lambdas: [{ name: "a", versions: [one.digest], locks: 1, bytes: 1_000 }],
      skipped: [],
      objects: 2,
      bytes: 1_000,
    });
    expect((await client.versions("a", soon())).length).toBe(3);
    expect(await client.gc({ keep: 2, olderThanMs: 0 }, soon())).toEqual(would);
    expect((await client.versions("a", soon())).map(({ digest }) => digest)).toEqual([
      three.digest,
      two.digest,
    ]);
    expect(await client.readLock(lock, soon())).toBeUndefined();
  });

  it("never leaves a tag that points at nothing, whoever uploads, rolls back, removes and collects at the same time", async () => {
    const client = await ready();
    const bundles = await Promise.all(Array.from({ length: 4 }, () => bundle("a")));
    const codes = new Set<unknown>();
    const tries = async (deed: () => Promise<unknown>): Promise<void> => {
      await deed().catch((error: unknown) => codes.add((error as { code?: string }).code));
    };
    const uploads = bundles.map(async (one) => {
      for (let round = 0; round < 6; round += 1)
        await client.upload({ ...one, tags: ["latest", "v1"], keep: 2 }, { signal: soon() });
    });
    const others = [
      () => client.rollback({ name: "a" }, soon()),
      () => client.remove({ name: "a", digest: (bundles[0] as { digest: string }).digest }, soon()),
      () => client.remove({ name: "a", tag: "v1" }, soon()),
      () => client.gc({ keep: 2 }, soon()),
      () => client.remove({ name: "a" }, soon()),
    ].map(async (deed) => {
      for (let round = 0; round < 6; round += 1) await tries(deed);
    });
    await Promise.all([...uploads, ...others]);
    const versions = await client.versions("a", soon());
    expect(versions.filter(({ missing, tags }) => missing && tags.length > 0)).toEqual([]);
    const allowed = ["UNKNOWN", "NO_VERSION", "IN_USE", "BUSY"].map((code) => `OL_REGISTRY_CLIENT_${code}`);
    expect([...codes].filter((code) => !allowed.includes(String(code)))).toEqual([]);
  });

  it("brings a bundle back that a tag was pointed at while it was removed, and one whose removal was interrupted", async () => {
    const client = await ready();
    const one = await bundle("a", "code");
    await client.upload(one, { signal: soon() });
    const objects = objectsIn(client);
    const tags = new Tags(objects);
    await client.remove({ name: "a", tag: "latest" }, soon());
    const there = await objectsOf(objects, "a", soon());
    // The last moment at which nobody can know of it.
    const meanwhile = async (): Promise<boolean> => {
      await client.upload(one, { signal: soon() });
      return true;
    };
    await new Removal(objects, tags).sweep("a", there, [one.digest], meanwhile, soon());
    expect(await textOf(await client.download("a", one.digest, soon()))).toBe("code");
    const [blob, trash] = [`handlers/a/blobs/${one.digest}.tar.gz`, `handlers/a/trash/${one.digest}.tar.gz`];
    await objects.copy(blob, trash, "set it aside", soon());
    await objects.delete(blob, "remove it", soon());
    await client.gc({ olderThanMs: 0 }, soon());
    expect(await textOf(await client.download("a", one.digest, soon()))).toBe("code");
    expect((await objectsOf(objects, "a", soon())).trash.size).toBe(0);
  });

  it("lets no object that is no tag be in the way of others, nor of what would mend it", async () => {
    const client = await ready();
    const objects = objectsIn(client);
    const spoil = (tag: string): Promise<boolean> =>
      objects.put(
        `handlers/bad/tags/${tag}.json`,
        contentOf(Buffer.from("{}"), "text/plain"),
        "spoil a tag",
        {
          signal: soon(),
        },
      );
    const [good, bad] = [await bundle("good"), await bundle("bad")];
    await client.upload({ ...good, minInstances: 1 }, { signal: soon() });
    await client.upload(bad, { signal: soon() });
    await spoil("latest");
    await spoil("beta");
    const listed = await client.list(soon());
    expect(listed.map(({ name, unreadable = [] }) => [name, unreadable.toSorted()])).toEqual([
      ["bad", ["beta", "latest"]],
      ["good", []],
    ]);
    expect(await client.minInstances(soon())).toEqual(new Map([["good", 1]]));
    // Nobody knows what the tags were to name.
    expect(await client.gc({ olderThanMs: 0 }, soon())).toMatchObject({ objects: 0, skipped: ["bad"] });
    expect(await client.hasVersion("bad", bad.digest, soon())).toBe(true);
    await expect(client.upload({ ...bad, createOnly: true }, { signal: soon() })).rejects.toHaveProperty(
      "code",
      "OL_REGISTRY_CLIENT_EXISTS",
    );
    await client.upload(bad, { signal: soon() });
    expect(await client.tag("bad", "latest", { signal: soon() })).toMatchObject({
      record: { digest: bad.digest },
    });
    await client.remove({ name: "bad", tag: "beta" }, soon());
    expect(await client.gc({ olderThanMs: 0 }, soon())).toMatchObject({ skipped: [] });
    await spoil("latest");
    await client.remove({ name: "bad" }, soon());
    expect((await client.list(soon())).map(({ name }) => name)).toEqual(["good"]);
  });
});
