import { randomBytes } from "node:crypto";

import { describe, expect, it } from "vitest";

import { bundle, clientOf, soon, textOf } from "../support/bundles.ts";
import { withEveryStore } from "../support/every-store.ts";
import { ADMIN, READER, STORES } from "../support/stores.ts";

withEveryStore(({ ready, store }) => {
  it("makes its bucket once and finds out that the store honours conditions", async () => {
    const client = clientOf(store());
    expect(await client.probe(soon())).toEqual({ conditionalWrites: true });
    expect(await client.probe(soon())).toEqual({ conditionalWrites: true });
    expect(await client.list(soon())).toEqual([]);
    await client.check(soon());
  });

  it("says which key is wrong, and never shows one", async () => {
    const client = await ready();
    await client.upload(await bundle("a"), { signal: soon() });
    const wrong = [
      [{ secretKey: "wrong-secret-9" }, "the secret key is not that of the access key"],
      [{ accessKey: "nobody-key" }, "it does not know the access key"],
    ] as const;
    for (const [keys, words] of wrong) {
      const denied = clientOf(store(), { ...ADMIN, ...keys });
      const error: unknown = await denied.tag("a", "latest", { signal: soon() }).catch((why: unknown) => why);
      expect(error).toMatchObject({
        code: "OL_REGISTRY_CLIENT_DENIED",
        message: expect.stringContaining(words),
      });
      expect(JSON.stringify(error, Object.getOwnPropertyNames(error))).not.toMatch(
        /wrong-secret|admin-secret/u,
      );
    }
  });

  it("says that there is no such bucket", async () => {
    await expect(clientOf(store()).tag("a", "latest", { signal: soon() })).rejects.toHaveProperty(
      "code",
      "OL_REGISTRY_CLIENT_NO_BUCKET",
    );
  });

  it("cannot reach a store that is down, and can when it is back", async () => {
    const client = await ready();
    const one = await bundle("a");
    await client.upload(one, { signal: soon() });
    await store().kill();
    try {
      await expect(client.tag("a", "latest", { signal: soon() })).rejects.toMatchObject({
        code: "OL_REGISTRY_CLIENT_UNREACHABLE",
        message: expect.stringContaining(store().endpoint.origin),
      });
    } finally {
      await store().restart();
    }
    expect(await client.tag("a", "latest", { signal: soon() })).toMatchObject({
      record: { digest: one.digest },
    });
  });

  it("fails with the reason of its signal, whatever it is doing", async () => {
    const client = await ready();
    const one = await bundle("a");
    await client.upload(one, { signal: soon() });
    const reason = new Error("enough");
    const gone = AbortSignal.abort(reason);
    await expect(client.tag("a", "latest", { signal: gone })).rejects.toBe(reason);
    await expect(client.upload(one, { signal: gone })).rejects.toBe(reason);
    await expect(client.list(gone)).rejects.toBe(reason);
    const stop = new AbortController();
    const body = await client.download("a", one.digest, stop.signal);
    stop.abort(reason);
    await expect(textOf(body)).rejects.toBe(reason);
  });
});

for (const kind of STORES.filter(({ hasReader }) => hasReader))
  describe(`a registry client of ${kind.name} with keys that may only read`, () => {
    it("reads, and is told that it may not write", async () => {
      await using store = await kind.start();
      const bucket = `test-${randomBytes(8).toString("hex")}`;
      const admin = clientOf(store, { bucket });
      await admin.probe(soon());
      const one = await bundle("a", "code");
      await admin.upload(one, { signal: soon() });
      const reader = clientOf(store, { bucket, ...READER });
      await reader.check(soon());
      expect(await textOf(await reader.download("a", one.digest, soon()))).toBe("code");
      await expect(reader.upload(await bundle("a"), { signal: soon() })).rejects.toMatchObject({
        code: "OL_REGISTRY_CLIENT_DENIED",
        message: expect.stringContaining("may not do that"),
      });
    });
  });
