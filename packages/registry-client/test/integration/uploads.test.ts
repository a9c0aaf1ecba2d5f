import { generateKeyPairSync, randomBytes } from "node:crypto";
import { appendFile } from "node:fs/promises";

import { expect, it } from "vitest";

import { isSignedBy } from "../../src/index.ts";
import { bundle, soon, textOf } from "../support/bundles.ts";
import { withEveryStore } from "../support/every-store.ts";

withEveryStore(({ ready }) => {
  it("gives back what was uploaded, by tag and by digest", async () => {
    const client = await ready();
    const one = await bundle("a", "the code");
    const result = await client.upload({ ...one, minInstances: 2 }, { signal: soon() });
    expect(result).toEqual({ created: true, forgotten: [] });
    const state = await client.tag("a", "latest", { signal: soon() });
    expect(state).toMatchObject({ record: { digest: one.digest, size: 8, minInstances: 2, history: [] } });
    expect(await textOf(await client.download("a", one.digest, soon()))).toBe("the code");
    expect(await client.tag("a", "v1", { signal: soon() })).toBeUndefined();
    expect(await client.tag("b", "latest", { signal: soon() })).toBeUndefined();
    expect(await client.minInstances(soon())).toEqual(new Map([["a", 2]]));
  });

  it("says that a tag is unchanged as long as it is, and not when it was moved", async () => {
    const client = await ready();
    const one = await bundle("a");
    await client.upload(one, { signal: soon() });
    const state = await client.tag("a", "latest", { signal: soon() });
    const known = typeof state === "object" ? state.stamp : "";
    expect(await client.tag("a", "latest", { known, signal: soon() })).toBe("unchanged");
    // The same bundle again moves nothing.
    expect(await client.upload(one, { signal: soon() })).toMatchObject({ created: false });
    expect(await client.tag("a", "latest", { known, signal: soon() })).toBe("unchanged");
    const two = await bundle("a");
    expect(await client.upload(two, { signal: soon() })).toMatchObject({ previous: one.digest });
    expect(await client.tag("a", "latest", { known, signal: soon() })).toMatchObject({
      record: { digest: two.digest },
    });
  });

  it("sends a bundle of several megabytes and says how far it is", async () => {
    const client = await ready();
    const bytes = randomBytes(5_000_000);
    const large = await bundle("large", bytes);
    const seen: number[] = [];
    await client.upload(large, { signal: soon(), onProgress: (sent) => seen.push(sent) });
    expect(seen.at(-1)).toBe(bytes.length);
    expect(seen.length).toBeGreaterThan(10);
    const body = await client.download("large", large.digest, soon());
    let received = 0;
    for await (const chunk of body) received += (chunk as Buffer).length;
    expect(received).toBe(bytes.length);
  });

  it("creates only what is not there: the tag, and a bundle put there by hand", async () => {
    const client = await ready();
    const one = await bundle("a");
    await client.upload({ ...one, createOnly: true }, { signal: soon() });
    const two = await bundle("a");
    await expect(client.upload({ ...two, createOnly: true }, { signal: soon() })).rejects.toHaveProperty(
      "code",
      "OL_REGISTRY_CLIENT_EXISTS",
    );
    expect(await client.hasVersion("a", two.digest, soon())).toBe(false);
    await client.upload({ ...two, createOnly: true, tags: ["v2"] }, { signal: soon() });
    expect([...(await client.tags("a", soon())).keys()].toSorted()).toEqual(["latest", "v2"]);
  });

  it("lets one of many who create the same at the same time win", async () => {
    const client = await ready();
    const uploads = await Promise.allSettled(
      Array.from({ length: 8 }, async () => {
        const one = await bundle("a");
        await client.upload({ ...one, createOnly: true }, { signal: soon() });
        return one.digest;
      }),
    );
    const won = uploads.flatMap((upload) => (upload.status === "fulfilled" ? [upload.value] : []));
    expect(won.length).toBe(1);
    const state = await client.tag("a", "latest", { signal: soon() });
    expect(state).toMatchObject({ record: { digest: won[0] } });
  });

  it("sends a bundle again that no tag names any more", async () => {
    const client = await ready();
    const [one, two] = [await bundle("a"), await bundle("a")];
    await client.upload(one, { signal: soon() });
    await client.remove({ name: "a", tag: "latest" }, soon());
    expect(await client.upload(one, { signal: soon() })).toMatchObject({ created: true });
    await client.upload(two, { signal: soon() });
    // In the history of latest.
    expect(await client.upload(one, { signal: soon() })).toMatchObject({
      created: false,
      previous: two.digest,
    });
  });

  it("refuses a file that changed since its digest was computed, and points no tag at it", async () => {
    const client = await ready();
    const one = await bundle("a");
    await appendFile(one.file, "more");
    await expect(client.upload(one, { signal: soon() })).rejects.toHaveProperty(
      "code",
      "OL_REGISTRY_CLIENT_BAD_FILE",
    );
    const other = await bundle("a", "other");
    await expect(client.upload({ ...other, digest: one.digest }, { signal: soon() })).rejects.toHaveProperty(
      "code",
      "OL_REGISTRY_CLIENT_REFUSED",
    );
    expect(await client.tag("a", "latest", { signal: soon() })).toBeUndefined();
  });

  it("signs a bundle with its name", async () => {
    const client = await ready();
    const { privateKey, publicKey } = generateKeyPairSync("ed25519");
    const one = await bundle("a");
    await client.upload({ ...one, signingKey: privateKey }, { signal: soon() });
    const [signature, ...others] = await client.signatures("a", one.digest, soon());
    expect(others).toEqual([]);
    expect(isSignedBy([publicKey], "a", one.digest, signature)).toBe(true);
    expect(isSignedBy([publicKey], "b", one.digest, signature)).toBe(false);
    expect((await client.versions("a", soon()))[0]).toHaveProperty("signature", signature);
  });

  it("lets the first lock count", async () => {
    const client = await ready();
    const lock = { name: "a", digest: "0".repeat(64), python: "3.11", machine: "x86_64" };
    expect(await client.readLock(lock, soon())).toBeUndefined();
    const written = await Promise.all(
      Array.from({ length: 6 }, (_, index) => client.writeLock(lock, `pins ${index}`, soon())),
    );
    expect(new Set(written).size).toBe(1);
    expect(await client.readLock(lock, soon())).toBe(written[0]);
  });
});
