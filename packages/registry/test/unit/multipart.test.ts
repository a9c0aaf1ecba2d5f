import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";

import { afterEach, beforeEach, describe, expect, test } from "vitest";

import type { ObjectInfo, ObjectStore, PartInfo } from "../../src/index.ts";
import { NEVER, bodyOf, md5Of, putOf, sha256Of } from "../support/bodies.ts";
import { TestDirectory } from "../support/directory.ts";
import { contentOf, filesOf, openStore } from "../support/stores.ts";

let directory: TestDirectory;
let store: ObjectStore;

beforeEach(async () => {
  directory = new TestDirectory();
  store = await openStore(directory.data, { minPartBytes: 4, maxObjectBytes: 100 });
});

afterEach(async () => {
  await store.close();
  directory[Symbol.dispose]();
});

const part = (id: string, number: number, content: string): Promise<PartInfo> =>
  store.putPart("code", "a", id, number, bodyOf(content), NEVER);

const complete = (id: string, parts: readonly { partNumber: number; etag: string }[]): Promise<ObjectInfo> =>
  store.completeUpload("code", "a", id, parts, {}, undefined, NEVER);

const base64 = (...values: number[]): string => {
  const bytes = Buffer.alloc(4 * values.length);
  for (const [at, value] of values.entries()) bytes.writeUInt32BE(value, 4 * at);
  return bytes.toString("base64");
};

describe("A multipart upload", () => {
  test("becomes one object with the parts in the order of their numbers, and S3's etag", async () => {
    const id = await store.createUpload("code", "a", { headers: { "content-type": "text/x" } });
    const second = await part(id, 7, "second");
    const first = await part(id, 2, "first");
    expect(() => store.head("code", "a")).toThrow(expect.objectContaining({ code: "NoSuchKey" }));
    const info = await complete(id, [first, second]);
    const md5 = createHash("md5")
      .update(md5Of("first") + md5Of("second"), "hex")
      .digest("hex");
    expect(info).toMatchObject({
      key: "a",
      size: 11,
      etag: `${md5}-2`,
      digest: sha256Of("firstsecond"),
      headers: { "content-type": "text/x" },
    });
    expect((await contentOf(store, "a")).toString()).toBe("firstsecond");
    expect(filesOf(directory.data, "uploads")).toEqual([]);
    expect(filesOf(directory.data, "blobs")).toHaveLength(1);
  });

  test("is completed again with the same answer, for as long as the object is the one it made", async () => {
    const id = await store.createUpload("code", "a", { headers: {} });
    const one = await part(id, 1, "content");
    const [info, beside] = await Promise.all([complete(id, [one]), complete(id, [one])]);
    expect(beside).toEqual(info);
    await store.close();
    store = await openStore(directory.data);
    expect(await complete(id, [one])).toEqual(info);
    const wrong = { partNumber: 1, etag: md5Of("other") };
    await expect(complete(id, [wrong])).rejects.toMatchObject({ code: "NoSuchUpload" });
    await store.put("code", "a", putOf("newer"), NEVER);
    await expect(complete(id, [one])).rejects.toMatchObject({ code: "NoSuchUpload", status: 404 });
    expect((await contentOf(store, "a")).toString()).toBe("newer");
  });

  test("is refused if a part is missing, another one, too small, out of order, or if all are too large", async () => {
    const id = await store.createUpload("code", "a", { headers: {}, algorithm: "crc32" });
    const [tiny, large, last] = [
      await part(id, 1, "123"),
      await part(id, 2, "x".repeat(60)),
      await part(id, 3, "x".repeat(60)),
    ];
    const refused = async (parts: Parameters<typeof complete>[1], code: string): Promise<void> => {
      await expect(complete(id, parts)).rejects.toMatchObject({ code });
    };
    await refused([], "InvalidRequest");
    await refused([large, { ...last, partNumber: 4 }], "InvalidPart");
    await refused([large, { ...last, etag: md5Of("other") }], "InvalidPart");
    await refused([large, { ...last, checksumValue: base64(1) } as never], "InvalidPart");
    await refused([tiny, large], "EntityTooSmall");
    await refused([large, tiny], "InvalidPartOrder");
    await refused([large, large], "InvalidPartOrder");
    await refused([large, last], "EntityTooLarge");
    expect(filesOf(directory.data, "records")).toEqual([]);
    expect((await complete(id, [large])).size).toBe(60);
  });

  test("keeps the later of two parts with one number, and frees the other", async () => {
    const id = await store.createUpload("code", "a", { headers: {} });
    const before = await part(id, 1, "before");
    const after = await part(id, 1, "after!");
    expect(filesOf(directory.data, "blobs")).toHaveLength(1);
    await expect(complete(id, [before])).rejects.toMatchObject({ code: "InvalidPart" });
    expect((await complete(id, [after])).digest).toBe(sha256Of("after!"));
  });

  test("that is aborted leaves nothing, and takes no more parts", async () => {
    const id = await store.createUpload("code", "a", { headers: {} });
    await part(id, 1, "part");
    await store.abortUpload("code", "a", id);
    for (const each of ["uploads", "blobs", "tmp"] as const)
      expect(filesOf(directory.data, each)).toEqual([]);
    await expect(part(id, 1, "late")).rejects.toMatchObject({ code: "NoSuchUpload" });
    await expect(store.abortUpload("code", "a", id)).rejects.toMatchObject({ code: "NoSuchUpload" });
    const other = await store.createUpload("code", "b", { headers: {} });
    await expect(part(other, 1, "of another key")).rejects.toMatchObject({ code: "NoSuchUpload" });
  });

  test.each([0, 10_001, 1.5])("has no part %d", async (number) => {
    const id = await store.createUpload("code", "a", { headers: {} });
    await expect(part(id, number, "part")).rejects.toMatchObject({ code: "InvalidArgument" });
  });

  test("has the checksum of the whole, or of the parts' checksums, as it was begun", async () => {
    for (const checksumType of ["FULL_OBJECT", "COMPOSITE"] as const) {
      const id = await store.createUpload("code", "a", { headers: {}, algorithm: "crc32", checksumType });
      const parts = [await part(id, 1, "first"), await part(id, 2, "second")];
      expect(parts.map(({ checksum }) => checksum?.value)).toEqual(
        ["first", "second"].map((text) => base64(crc32(text))),
      );
      const of = Buffer.from(base64(crc32("first"), crc32("second")), "base64");
      const value = checksumType === "COMPOSITE" ? `${base64(crc32(of))}-2` : base64(crc32("firstsecond"));
      const wrong = store.completeUpload("code", "a", id, parts, {}, base64(1), NEVER);
      await expect(wrong).rejects.toMatchObject({ code: "BadDigest" });
      const info = await store.completeUpload("code", "a", id, parts, {}, value, NEVER);
      expect(info.checksum).toEqual({ algorithm: "crc32", value, type: checksumType });
    }
  });

  test("of one part has the checksums of that part", async () => {
    for (const checksumType of ["FULL_OBJECT", "COMPOSITE"] as const) {
      const id = await store.createUpload("code", "a", { headers: {}, algorithm: "crc32", checksumType });
      const info = await complete(id, [await part(id, 1, "whole")]);
      const own = base64(crc32("whole"));
      const composite = `${base64(crc32(Buffer.from(own, "base64")))}-1`;
      expect(info.checksum?.value).toBe(checksumType === "COMPOSITE" ? composite : own);
    }
  });

  test("is subject to the conditions of an upload", async () => {
    await store.put("code", "a", putOf("there"), NEVER);
    const id = await store.createUpload("code", "a", { headers: {} });
    const parts = [await part(id, 1, "new")];
    const create = store.completeUpload("code", "a", id, parts, { ifNoneMatch: ["*"] }, undefined, NEVER);
    await expect(create).rejects.toMatchObject({ code: "PreconditionFailed" });
    const known = { ifMatch: [md5Of("there")] };
    await store.completeUpload("code", "a", id, parts, known, undefined, NEVER);
    expect((await contentOf(store, "a")).toString()).toBe("new");
  });

  test("takes parts from objects, whole and in ranges", async () => {
    await store.put("code", "source", putOf("0123456789"), NEVER);
    const id = await store.createUpload("code", "a", { headers: {} });
    const target = (partNumber: number) => ({ bucket: "code", key: "a", uploadId: id, partNumber });
    const source = { bucket: "code", key: "source" };
    const parts = [
      await store.copyPart(source, target(1), NEVER),
      await store.copyPart({ ...source, range: { start: 2, end: 4 } }, target(2), NEVER),
    ];
    expect(parts.map(({ etag, size }) => [etag, size])).toEqual([
      [md5Of("0123456789"), 10],
      [md5Of("234"), 3],
    ]);
    expect((await complete(id, parts)) && (await contentOf(store, "a")).toString()).toBe("0123456789234");
  });

  test("made an object whose copy is one of its own", async () => {
    const id = await store.createUpload("code", "a", { headers: {}, algorithm: "crc32" });
    const parts = [await part(id, 1, "first"), await part(id, 2, "second")];
    await complete(id, parts);
    const [from, to] = ["a", "b"].map((key) => ({ bucket: "code", key })) as [never, never];
    const copy = await store.copy(from, to, { conditions: {} }, NEVER);
    expect(copy.etag).toBe(md5Of("firstsecond"));
    expect(copy.checksum).toBeUndefined();
  });
});

describe("Unfinished uploads", () => {
  test("are there after the next start, with their parts", async () => {
    const id = await store.createUpload("code", "a", {
      headers: { "content-type": "text/x" },
      algorithm: "sha256",
    });
    const one = await part(id, 1, "part");
    await store.close();
    store = await openStore(directory.data);
    expect(store.listParts("code", "a", id, 0, 10).parts).toEqual([one]);
    expect(await complete(id, [one])).toMatchObject({ headers: { "content-type": "text/x" } });
  });

  test("list their parts page by page", async () => {
    const id = await store.createUpload("code", "a", { headers: {}, algorithm: "crc64nvme" });
    for (const number of [10, 9, 1, 100]) await part(id, number, `${number}`);
    const numbers = (afterPart: number, limit: number): unknown => {
      const { parts, next } = store.listParts("code", "a", id, afterPart, limit);
      return [parts.map(({ partNumber }) => partNumber), next];
    };
    expect(numbers(0, 2)).toEqual([[1, 9], 9]);
    expect(numbers(9, 2)).toEqual([[10, 100], undefined]);
    expect(numbers(100, 2)).toEqual([[], undefined]);
    const { upload } = store.listParts("code", "a", id, 0, 0);
    expect(upload).toMatchObject({ id, key: "a", algorithm: "crc64nvme", checksumType: "FULL_OBJECT" });
  });

  test("are listed by key and id, page by page, with common prefixes", async () => {
    const ids = new Map<string, string[]>();
    for (const key of ["b", "a/x", "b", "a/y", "c", "b"]) {
      const id = await store.createUpload("code", key, { headers: {} });
      ids.set(key, [...(ids.get(key) ?? []), id].sort());
    }
    const all: string[] = [];
    let at: { key: string; id?: string } | undefined = { key: "" };
    while (at !== undefined) {
      const page: ReturnType<ObjectStore["listUploads"]> = store.listUploads("code", {
        prefix: "",
        delimiter: "/",
        afterKey: at.key,
        limit: 2,
        ...(at.id === undefined ? {} : { afterId: at.id }),
      });
      expect(page.uploads.length + page.commonPrefixes.length).toBeLessThanOrEqual(2);
      all.push(...page.commonPrefixes, ...page.uploads.map(({ key, id }) => `${key} ${id}`));
      at = page.next;
    }
    expect(all).toEqual([
      "a/",
      ...["b", "c"].flatMap((key) => (ids.get(key) ?? []).map((id) => `${key} ${id}`)),
    ]);
  });
});
