import { existsSync, readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import * as path from "node:path";

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { deferred } from "@ol/common";

import type { ObjectStore, S3Error } from "../../src/index.ts";
import { NEVER, bodyOf, md5Of, putOf, refuse, sha256Of } from "../support/bodies.ts";
import { TestDirectory } from "../support/directory.ts";
import { collected, contentOf, filesOf, openStore } from "../support/stores.ts";

let directory: TestDirectory;
let store: ObjectStore;

beforeEach(async () => {
  directory = new TestDirectory();
  store = await openStore(directory.data);
});

afterEach(async () => {
  await store.close();
  directory[Symbol.dispose]();
});

const put = (key: string, content: string | Uint8Array): ReturnType<ObjectStore["put"]> =>
  store.put("code", key, putOf(content), NEVER);

const keys = (): string[] =>
  store.list("code", { prefix: "", delimiter: "", after: "", limit: 1000 }).objects.map(({ key }) => key);

/** No object, no content, nothing half-written. */
const expectNothing = (): void => {
  expect(keys()).toEqual([]);
  for (const part of ["tmp", "blobs", "records"] as const) expect(filesOf(directory.data, part)).toEqual([]);
};

describe("An upload", () => {
  test("gives back size, MD5, SHA-256, the header fields and the checksum that is to be kept", async () => {
    const info = await store.put(
      "code",
      "a",
      {
        headers: { "content-type": "text/plain" },
        body: bodyOf("123456789", { pieceBytes: 2, algorithms: ["crc32", "crc64nvme"] }),
        keep: "crc64nvme",
      },
      NEVER,
    );
    expect(info).toEqual({
      key: "a",
      size: 9,
      etag: md5Of("123456789"),
      digest: sha256Of("123456789"),
      modifiedMs: expect.any(Number),
      headers: { "content-type": "text/plain" },
      checksum: { algorithm: "crc64nvme", value: "rosUhgp5mIg=", type: "FULL_OBJECT" },
    });
    expect(store.head("code", "a")).toEqual(info);
  });

  test("whose promises do not hold leaves nothing, and hears what does not", async () => {
    const body = bodyOf("abc", { verify: refuse });
    await expect(store.put("code", "a", { headers: {}, body }, NEVER)).rejects.toMatchObject({
      code: "BadDigest",
    });
    expectNothing();
  });

  test("whose body breaks off leaves nothing, and fails with what broke it", async () => {
    const broken = new Error("the client is gone");
    const body = bodyOf("abc", { last: () => Promise.reject(broken) });
    await expect(store.put("code", "a", { headers: {}, body }, NEVER)).rejects.toBe(broken);
    expectNothing();
  });

  test("that is cancelled while its body does not come ends at once and leaves nothing", async () => {
    const never = deferred<void>();
    const begun = deferred<void>();
    const last = (): Promise<void> => {
      begun.resolve();
      return never.promise;
    };
    const body = bodyOf("abc", { last });
    const cancel = new AbortController();
    const writing = store.put("code", "a", { headers: {}, body }, cancel.signal);
    await begun.promise;
    const reason = new Error("cancelled");
    cancel.abort(reason);
    await expect(writing).rejects.toBe(reason);
    expectNothing();
    never.resolve();
  });

  test("that is larger than the limit is refused when it gets there", async () => {
    using other = new TestDirectory();
    await using small = await openStore(other.data, { maxObjectBytes: 10 });
    await small.put("code", "a", putOf("0123456789"), NEVER);
    await expect(small.put("code", "b", putOf("0123456789x"), NEVER)).rejects.toMatchObject({
      code: "EntityTooLarge",
    });
    expect(filesOf(other.data, "tmp")).toEqual([]);
    expect(() => small.head("code", "b")).toThrow(expect.objectContaining({ code: "NoSuchKey" }));
  });

  test("into a bucket that is not there is refused before its body is read", async () => {
    const read = vi.fn<() => Promise<void>>();
    const body = bodyOf("abc", { first: read });
    const refused = store.put("other", "a", { headers: {}, body }, NEVER);
    await expect(refused).rejects.toMatchObject({ code: "NoSuchBucket", status: 404 });
    const unmet = store.put("code", "a", { headers: {}, body, ifMatch: ["*"] }, NEVER);
    await expect(unmet).rejects.toMatchObject({ code: "NoSuchKey" });
    expect(read).not.toHaveBeenCalled();
  });

  test("of several that only want to create, exactly one does, although all were right when they began", async () => {
    const go = deferred<void>();
    const writers = Array.from({ length: 8 }, (_, at) => {
      const body = bodyOf(`writer ${at}`, { first: () => go.promise });
      return store.put("code", "a", { headers: {}, body, ifNoneMatch: ["*"] }, NEVER);
    });
    go.resolve();
    const results = await Promise.allSettled(writers);
    const winners = results.flatMap((each) => (each.status === "fulfilled" ? each.value.etag : []));
    expect(winners).toEqual([store.head("code", "a").etag]);
    const losers = results.flatMap((each) =>
      each.status === "rejected" ? (each.reason as S3Error).code : [],
    );
    expect(losers).toEqual(Array.from({ length: 7 }, () => "PreconditionFailed"));
    expect(filesOf(directory.data, "blobs")).toHaveLength(1);
  });
});

describe("A key", () => {
  const strange = [
    "..",
    "../../etc/passwd",
    "/",
    "//a",
    ".",
    "a\u0001b",
    "\u0000",
    "\u{10ffff}",
    "x".repeat(1024),
  ];

  test("is never part of a path, whatever it is", async () => {
    for (const key of strange) await put(key, key);
    await store.close();
    expect(readdirSync(directory.path)).toEqual(["data"]);
    for (const file of filesOf(directory.data, "records"))
      expect(path.basename(file)).toMatch(/^[0-9a-f]{64}$/);
    store = await openStore(directory.data);
    for (const key of strange) expect((await contentOf(store, key)).toString()).toBe(key);
  });

  test.each([
    ["", "InvalidArgument"],
    ["x".repeat(1025), "KeyTooLongError"],
    ["é".repeat(513), "KeyTooLongError"],
    ["a\ud800", "InvalidArgument"],
  ])("%j is refused with %s", async (key, code) => {
    await expect(put(key, "")).rejects.toMatchObject({ code });
    const place = { bucket: "code", key };
    await put("source", "");
    const copied = store.copy({ bucket: "code", key: "source" }, place, { conditions: {} }, NEVER);
    await expect(copied).rejects.toMatchObject({ code });
    await expect(store.createUpload("code", key, { headers: {} })).rejects.toMatchObject({ code });
  });
});

describe("A content", () => {
  test("is kept once for all objects that have it, and is gone with the last", async () => {
    await put("a", "same");
    await put("b", "same");
    const place = { bucket: "code", key: "b" };
    await store.copy(place, { bucket: "code", key: "c" }, { conditions: {} }, NEVER);
    expect(filesOf(directory.data, "blobs")).toHaveLength(1);
    expect(store.stats()).toMatchObject({ objects: 3, bytes: 12, blobs: 1, blobBytes: 4 });
    await store.delete("code", "a");
    await put("b", "other");
    expect((await contentOf(store, "c")).toString()).toBe("same");
    await store.delete("code", "c");
    expect(filesOf(directory.data, "blobs")).toHaveLength(1);
    await store.delete("code", "b");
    expectNothing();
    expect(store.stats()).toMatchObject({ blobs: 0, blobBytes: 0, bytes: 0 });
  });

  test("that somebody reads is read to its end, although its object is overwritten or removed meanwhile", async () => {
    const long = Buffer.alloc(200 * 1024, "long");
    await put("a", long);
    await put("b", long.subarray(1));
    await using first = await store.read("code", "a");
    await using second = await store.read("code", "b");
    await put("a", "short");
    await store.delete("code", "b");
    expect(filesOf(directory.data, "blobs")).toHaveLength(1);
    expect((await collected(first.stream())).equals(long)).toBe(true);
    expect((await collected(second.stream())).equals(long.subarray(1))).toBe(true);
  });

  test("can be read by whoever asked before it was removed, although its file is opened later", async () => {
    for (let round = 0; round < 50; round += 1) {
      await put("a", `${round}`);
      const [reader] = await Promise.all([store.read("code", "a"), store.delete("code", "a")]);
      expect((await collected(reader.stream())).toString()).toBe(`${round}`);
      await reader[Symbol.asyncDispose]();
    }
    expectNothing();
  });

  test("that is uploaded while its last object is removed is there", async () => {
    for (let round = 0; round < 50; round += 1) {
      await put("a", "same");
      await Promise.all([store.delete("code", "a"), put("b", "same")]);
      expect((await contentOf(store, "b")).toString()).toBe("same");
      await store.delete("code", "b");
    }
    expectNothing();
  });

  test("is read in ranges, and an empty one as nothing", async () => {
    await put("a", "0123456789");
    await put("empty", "");
    await using reader = await store.read("code", "a");
    expect((await collected(reader.stream({ start: 3, end: 5 }))).toString()).toBe("345");
    expect((await collected(reader.stream({ start: 9, end: 9 }))).toString()).toBe("9");
    expect((await collected(reader.stream())).toString()).toBe("0123456789");
    expect((await contentOf(store, "empty")).length).toBe(0);
  });

  test("that has become too short is not given out", async () => {
    await put("a", "0123456789");
    writeFileSync(filesOf(directory.data, "blobs")[0] as string, "01234");
    await expect(store.read("code", "a")).rejects.toMatchObject({ code: "InternalError" });
  });

  test("that has gone bad is whole again when it is uploaded again", async () => {
    await put("a", "0123456789");
    writeFileSync(filesOf(directory.data, "blobs")[0] as string, "damaged...");
    await put("b", "0123456789");
    expect((await contentOf(store, "a")).toString()).toBe("0123456789");
  });
});

describe("A copy", () => {
  test("has the source's header fields or others, and is refused like an upload", async () => {
    const [source, target] = ["a", "b"].map((key) => ({ bucket: "code", key })) as [never, never];
    const info = await store.put("code", "a", putOf("x", { headers: { "content-type": "text/a" } }), NEVER);
    const plain = await store.copy(source, target, { conditions: {} }, NEVER);
    expect(plain).toMatchObject({ etag: info.etag, headers: { "content-type": "text/a" } });
    const options = { headers: { "content-type": "text/b" }, conditions: {} };
    await store.copy(source, source, options, NEVER);
    expect(store.head("code", "a").headers).toEqual({ "content-type": "text/b" });
    const refused = store.copy(source, target, { conditions: { ifNoneMatch: ["*"] } }, NEVER);
    await expect(refused).rejects.toMatchObject({ code: "PreconditionFailed" });
    const none = { bucket: "code", key: "none" };
    await expect(store.copy(none, target, options, NEVER)).rejects.toMatchObject({
      code: "NoSuchKey",
    });
  });
});

describe("A bucket", () => {
  test("is there when it has been made, once, and also after the next start", async () => {
    await store.createBucket("second.bucket-2");
    await expect(store.createBucket("code")).rejects.toMatchObject({ code: "BucketAlreadyOwnedByYou" });
    await store.close();
    store = await openStore(directory.data);
    expect(store.buckets().map(({ name }) => name)).toEqual(["code", "second.bucket-2"]);
    expect(store.hasBucket("second.bucket-2")).toBe(true);
    expect(store.hasBucket("third")).toBe(false);
  });

  test.each([
    "",
    "ab",
    "..",
    "a/b",
    "../x",
    "Code",
    "-ab",
    "ab-",
    "a..b",
    "a.-b",
    "a-.b",
    "1.2.3.4",
    "x".repeat(64),
  ])("cannot be called %j", async (name) => {
    await expect(store.createBucket(name)).rejects.toMatchObject({ code: "InvalidBucketName", status: 400 });
  });

  test("that has objects is not removed; an empty one is, with its unfinished uploads", async () => {
    await put("a", "x");
    await expect(store.deleteBucket("code")).rejects.toMatchObject({ code: "BucketNotEmpty", status: 409 });
    await store.delete("code", "a");
    const id = await store.createUpload("code", "a", { headers: {} });
    await store.putPart("code", "a", id, 1, bodyOf("part"), NEVER);
    await store.deleteBucket("code");
    await expect(put("a", "x")).rejects.toMatchObject({ code: "NoSuchBucket" });
    await expect(store.deleteBucket("code")).rejects.toMatchObject({ code: "NoSuchBucket" });
    expect(() => store.list("code", { prefix: "", delimiter: "", after: "", limit: 1 })).toThrow(
      expect.objectContaining({ code: "NoSuchBucket" }),
    );
    for (const part of ["uploads", "blobs"] as const) expect(filesOf(directory.data, part)).toEqual([]);
    await store.createBucket("code");
    expectNothing();
  });

  test("never loses an object that was acknowledged while it was being removed", async () => {
    for (let round = 0; round < 20; round += 1) {
      const [written, removed] = await Promise.allSettled([put("a", `${round}`), store.deleteBucket("code")]);
      const outcome = [written, removed].map((each) =>
        each.status === "fulfilled" ? "done" : (each.reason as S3Error).code,
      );
      expect([
        ["done", "BucketNotEmpty"],
        ["NoSuchBucket", "done"],
      ]).toContainEqual(outcome);
      if (!store.hasBucket("code")) await store.createBucket("code");
      expect(keys()).toEqual(written.status === "fulfilled" ? ["a"] : []);
      await store.delete("code", "a");
    }
  });

  test("is refused beyond the limit", async () => {
    using other = new TestDirectory();
    await using small = await openStore(other.data, { maxBuckets: 2 });
    await small.createBucket("second");
    await expect(small.createBucket("third")).rejects.toMatchObject({ code: "TooManyBuckets" });
  });
});

describe("What is written", () => {
  test("can be read by nobody else on the machine", async () => {
    await put("a", "x");
    for (const part of ["blobs", "records"] as const) {
      for (const file of filesOf(directory.data, part)) expect(statSync(file).mode & 0o777).toBe(0o600);
    }
    expect(statSync(directory.data).mode & 0o777).toBe(0o700);
  });

  test("is one line of JSON and its checksum for each record", async () => {
    await put("a", "x");
    const [file] = filesOf(directory.data, "records");
    const [line, checksum] = readFileSync(file as string, "utf8").split("\n");
    expect(JSON.parse(line as string)).toMatchObject({ kind: "object", bucket: "code", info: { key: "a" } });
    expect(checksum).toBe(sha256Of(line as string));
    expect(existsSync(path.join(directory.data, "format"))).toBe(true);
  });
});
