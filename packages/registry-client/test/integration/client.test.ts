import { generateKeyPairSync, randomBytes } from "node:crypto";
import { spawnSync } from "node:child_process";
import { appendFile, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";

import { isSignedBy, RegistryClient } from "../../src/index.ts";
import { objectsOf } from "../../src/inventory.ts";
import { ObjectAccess } from "../../src/object-access.ts";
import { connectionOf } from "../../src/options.ts";
import { Removal } from "../../src/removal.ts";
import { contentOf } from "../../src/store-requests.ts";
import { Tags } from "../../src/tags.ts";
import { bundle, clientOf, soon, textOf } from "../support/bundles.ts";
import { ADMIN, READER, startOurs, STORES, type TestStore, type Tls } from "../support/stores.ts";

for (const kind of STORES)
  describe(`a registry client with ${kind.name}`, () => {
    let store: TestStore;
    beforeAll(async () => {
      store = await kind.start();
    });
    afterAll(() => store.close());

    const ready = async (): Promise<RegistryClient> => {
      const client = clientOf(store);
      await client.probe(soon());
      return client;
    };

    it("makes its bucket once and finds out that the store honours conditions", async () => {
      const client = clientOf(store);
      expect(await client.probe(soon())).toEqual({ conditionalWrites: true });
      expect(await client.probe(soon())).toEqual({ conditionalWrites: true });
      expect(await client.list(soon())).toEqual([]);
      await client.check(soon());
    });

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

    it("loses no version when many upload at the same time", async () => {
      const client = await ready();
      const bundles = await Promise.all(Array.from({ length: 6 }, () => bundle("a")));
      await Promise.all(bundles.map((one) => client.upload(one, { signal: soon() })));
      const versions = await client.versions("a", soon());
      expect(versions.map(({ digest }) => digest).toSorted()).toEqual(
        bundles.map(({ digest }) => digest).toSorted(),
      );
      expect(versions.filter(({ tags }) => tags.length > 0).length).toBe(1);
      expect(versions.every(({ tags, rememberedBy }) => tags.length + rememberedBy.length === 1)).toBe(true);
    });

    it("rolls back version by version, and forward by name, without sending anything", async () => {
      const client = await ready();
      const [one, two, three] = [await bundle("a"), await bundle("a"), await bundle("a")];
      for (const version of [one, two, three])
        await client.upload({ ...version, minInstances: version === two ? 3 : 0 }, { signal: soon() });
      expect(await client.rollback({ name: "a" }, soon())).toEqual({
        digest: two.digest,
        previous: three.digest,
      });
      expect(await client.minInstances(soon())).toEqual(new Map([["a", 3]]));
      expect(await client.rollback({ name: "a" }, soon())).toEqual({
        digest: one.digest,
        previous: two.digest,
      });
      await expect(client.rollback({ name: "a" }, soon())).rejects.toHaveProperty(
        "code",
        "OL_REGISTRY_CLIENT_NO_VERSION",
      );
      const to = three.digest.slice(0, 12);
      expect(await client.rollback({ name: "a", to }, soon())).toMatchObject({ digest: three.digest });
      expect((await client.versions("a", soon())).length).toBe(3);
      await expect(client.rollback({ name: "a", to: "v9" }, soon())).rejects.toThrow("has no version");
      await expect(client.rollback({ name: "b" }, soon())).rejects.toHaveProperty(
        "code",
        "OL_REGISTRY_CLIENT_UNKNOWN",
      );
    });

    it("keeps the last versions if it is told how many, and removes the bundles of the others", async () => {
      const client = await ready();
      const versions = [];
      for (let count = 0; count < 4; count += 1) versions.push(await bundle("a"));
      for (const version of versions) await client.upload({ ...version, keep: 2 }, { signal: soon() });
      const left = await client.versions("a", soon());
      expect(left.map(({ digest }) => digest)).toEqual([versions[3]?.digest, versions[2]?.digest]);
      expect(left.some(({ missing }) => missing)).toBe(false);
    });

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
      const objects = new ObjectAccess(
        connectionOf({ endpoint: store.endpoint, bucket: client.bucket, ...ADMIN }),
      );
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
      const [blob, trash] = [
        `handlers/a/blobs/${one.digest}.tar.gz`,
        `handlers/a/trash/${one.digest}.tar.gz`,
      ];
      await objects.copy(blob, trash, "set it aside", soon());
      await objects.delete(blob, "remove it", soon());
      await client.gc({ olderThanMs: 0 }, soon());
      expect(await textOf(await client.download("a", one.digest, soon()))).toBe("code");
      expect((await objectsOf(objects, "a", soon())).trash.size).toBe(0);
      objects.close();
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

    it("lets no object that is no tag be in the way of others, nor of what would mend it", async () => {
      const client = await ready();
      const objects = new ObjectAccess(
        connectionOf({ endpoint: store.endpoint, bucket: client.bucket, ...ADMIN }),
      );
      onTestFinished(() => objects.close());
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

    it("lists a hundred lambdas by name", async () => {
      const client = await ready();
      const names = Array.from({ length: 100 }, (_, index) => `f${index}`);
      const one = await bundle("x");
      for (const name of names) await client.upload({ ...one, name }, { signal: soon() });
      const listed = await client.list(soon());
      expect(listed.map(({ name }) => name)).toEqual(names.toSorted());
      expect(listed[0]).toMatchObject({
        tags: [{ tag: "latest", digest: one.digest }],
        versions: 1,
        bytes: 1_000,
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
      await expect(
        client.upload({ ...other, digest: one.digest }, { signal: soon() }),
      ).rejects.toHaveProperty("code", "OL_REGISTRY_CLIENT_REFUSED");
      expect(await client.tag("a", "latest", { signal: soon() })).toBeUndefined();
    });

    it("says which key is wrong, and never shows one", async () => {
      const client = await ready();
      await client.upload(await bundle("a"), { signal: soon() });
      const wrong = [
        [{ secretKey: "wrong-secret-9" }, "the secret key is not that of the access key"],
        [{ accessKey: "nobody-key" }, "it does not know the access key"],
      ] as const;
      for (const [keys, words] of wrong) {
        const denied = clientOf(store, { ...ADMIN, ...keys });
        const error: unknown = await denied
          .tag("a", "latest", { signal: soon() })
          .catch((why: unknown) => why);
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
      await expect(clientOf(store).tag("a", "latest", { signal: soon() })).rejects.toHaveProperty(
        "code",
        "OL_REGISTRY_CLIENT_NO_BUCKET",
      );
    });

    it("cannot reach a store that is down, and can when it is back", async () => {
      const client = await ready();
      const one = await bundle("a");
      await client.upload(one, { signal: soon() });
      await store.kill();
      try {
        await expect(client.tag("a", "latest", { signal: soon() })).rejects.toMatchObject({
          code: "OL_REGISTRY_CLIENT_UNREACHABLE",
          message: expect.stringContaining(store.endpoint.origin),
        });
      } finally {
        await store.restart();
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

/** Not everywhere there is one to make certificates with. */
const PROGRAMS = ["openssl"].filter((program) => spawnSync(program, ["version"]).status === 0);

for (const program of PROGRAMS)
  describe("a registry client over TLS", () => {
    it("trusts the authority that it is told of, and says what to do about one that it is not", async () => {
      const { cert, key, file } = await certificate(program);
      await using store = await startOurs({ cert, key });
      const options = { bucket: `test-${randomBytes(8).toString("hex")}` };
      const trusting = clientOf(store, { ...options, caFile: file });
      expect(await trusting.probe(soon())).toEqual({ conditionalWrites: true });
      const one = await bundle("a", "code");
      await trusting.upload(one, { signal: soon() });
      expect(await textOf(await trusting.download("a", one.digest, soon()))).toBe("code");
      await expect(clientOf(store, options).check(soon())).rejects.toMatchObject({
        code: "OL_REGISTRY_CLIENT_UNREACHABLE",
        message: expect.stringContaining("certificate is not trusted"),
      });
    });
  });

/** For 127.0.0.1, signed by itself. */
const certificate = async (program: string): Promise<Tls & { readonly file: string }> => {
  const directory = await mkdtemp(join(tmpdir(), "ol-tls-"));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  const [key, file] = [join(directory, "key.pem"), join(directory, "cert.pem")];
  const subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"];
  const made = [
    "req",
    "-x509",
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:P-256",
    "-nodes",
    "-days",
    "1",
  ];
  spawnSync(program, [...made, ...subject, "-keyout", key, "-out", file]);
  return { cert: await readFile(file, "utf8"), key: await readFile(key, "utf8"), file };
};
