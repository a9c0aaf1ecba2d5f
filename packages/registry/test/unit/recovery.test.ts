import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import * as path from "node:path";

import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { ObjectStore } from "../../src/index.ts";
import { NEVER, bodyOf, putOf, sha256Of } from "../support/bodies.ts";
import { TestDirectory } from "../support/directory.ts";
import { Complaints, contentOf, filesOf, openStore } from "../support/stores.ts";

let directory: TestDirectory;
let complaints: Complaints;

beforeEach(() => {
  directory = new TestDirectory();
  complaints = new Complaints();
});

afterEach(() => directory[Symbol.dispose]());

/** A data directory with objects `a`, `b` and `c`, whose contents are their keys. */
const prepare = async (): Promise<void> => {
  await using store = await openStore(directory.data);
  for (const key of ["a", "b", "c"]) await store.put("code", key, putOf(key), NEVER);
};

const open = (): Promise<ObjectStore> => openStore(directory.data, {}, complaints);

const keys = (store: ObjectStore): string[] =>
  store.list("code", { prefix: "", delimiter: "", after: "", limit: 10 }).objects.map(({ key }) => key);

const blobOf = (content: string): string => {
  const digest = sha256Of(content);
  return path.join(directory.data, "blobs", digest.slice(0, 1), digest);
};

const recordOf = (key: string): string => {
  const hash = sha256Of(`code/${key}`);
  return path.join(directory.data, "records", hash.slice(0, 1), hash);
};

describe("A start", () => {
  test("finds everything as it was", async () => {
    await prepare();
    await using store = await open();
    expect(keys(store)).toEqual(["a", "b", "c"]);
    for (const key of ["a", "b", "c"]) expect((await contentOf(store, key)).toString()).toBe(key);
    expect(complaints.said).toEqual([]);
  });

  test("removes what unfinished writes left: temporary files, and contents that no object names", async () => {
    await prepare();
    writeFileSync(path.join(directory.data, "tmp", "0123"), "half");
    writeFileSync(blobOf("unnamed"), "unnamed");
    await using store = await open();
    expect(filesOf(directory.data, "tmp")).toEqual([]);
    expect(filesOf(directory.data, "blobs")).toHaveLength(3);
    expect(store.stats()).toMatchObject({ objects: 3, blobs: 3, quarantined: 0 });
  });

  test.each([
    ["is cut short", (file: string) => writeFileSync(file, readFileSync(file).subarray(0, 20))],
    ["is empty", (file: string) => writeFileSync(file, "")],
    [
      "has a changed byte",
      (file: string) => writeFileSync(file, readFileSync(file, "utf8").replace('"size":1', '"size":2')),
    ],
    ["is another object's", (file: string) => writeFileSync(file, readFileSync(recordOf("a")))],
  ])("sets a record aside that %s, says so, and serves the others", async (_, damage) => {
    await prepare();
    damage(recordOf("b"));
    await using store = await open();
    expect(keys(store)).toEqual(["a", "c"]);
    expect(complaints.said).toContain("a damaged file was set aside");
    expect(filesOf(directory.data, "quarantine")).toHaveLength(1);
    expect(store.stats().quarantined).toBe(1);
    await store.put("code", "b", putOf("again"), NEVER);
    expect((await contentOf(store, "b")).toString()).toBe("again");
  });

  test.each([
    ["missing", () => rmSync(blobOf("b"))],
    ["too short", () => writeFileSync(blobOf("b"), "")],
  ])("sets the record of an object aside whose content is %s", async (_, damage) => {
    await prepare();
    damage();
    await using store = await open();
    expect(keys(store)).toEqual(["a", "c"]);
    expect(store.stats()).toMatchObject({ objects: 2, quarantined: 1 });
  });

  test("keeps contents that no object names while something is in quarantine, since that may name them", async () => {
    await prepare();
    writeFileSync(recordOf("b"), "damaged");
    await (await open()).close();
    await (await open()).close();
    expect(readFileSync(blobOf("b"), "utf8")).toBe("b");
    expect(complaints.said).toContain(
      "contents that no object names are kept while there is something in quarantine",
    );
    for (const file of filesOf(directory.data, "quarantine")) rmSync(file);
    await (await open()).close();
    expect(filesOf(directory.data, "blobs")).toHaveLength(2);
  });

  test("has a bucket again whose own record is damaged, if there are objects in it", async () => {
    await prepare();
    writeFileSync(path.join(directory.data, "buckets", "code"), "damaged");
    await using store = await ObjectStore.open({ directory: directory.data });
    expect(store.buckets().map(({ name }) => name)).toEqual(["code"]);
    expect(keys(store)).toEqual(["a", "b", "c"]);
  });

  test("ends what is left of an upload that was completed, aborted, or whose bucket is gone", async () => {
    let completed = "";
    {
      await using store = await openStore(directory.data);
      const [one, two] = [
        await store.createUpload("code", "a", { headers: {} }),
        await store.createUpload("code", "b", { headers: {} }),
      ] as const;
      const part = await store.putPart("code", "a", one, 1, bodyOf("part"), NEVER);
      await store.putPart("code", "b", two, 1, bodyOf("other"), NEVER);
      completed = path.join(directory.data, "uploads", one);
      const kept = [completed, `${completed}.1`].map((file) => [file, readFileSync(file)] as const);
      await store.completeUpload("code", "a", one, [part], {}, undefined, NEVER);
      // As if the process had ended before it removed them.
      for (const [file, content] of kept) writeFileSync(file, content);
      rmSync(path.join(directory.data, "uploads", two));
    }
    await using store = await open();
    expect(filesOf(directory.data, "uploads")).toEqual([]);
    expect(store.stats()).toMatchObject({ objects: 1, blobs: 1, uploads: 0, quarantined: 0 });
    expect((await contentOf(store, "a")).toString()).toBe("part");
  });

  test("refuses a directory that is somebody else's, in one line that says what is there", async () => {
    mkdirSync(directory.data);
    writeFileSync(path.join(directory.data, "thesis.tex"), "years of work");
    await expect(open()).rejects.toMatchObject({
      code: "OL_REGISTRY_BAD_DIRECTORY",
      message: expect.stringMatching(
        /^.*data cannot be used: it is not empty, and no registry's: there is thesis\.tex$/,
      ),
    });
    expect(readFileSync(path.join(directory.data, "thesis.tex"), "utf8")).toBe("years of work");
  });

  test("refuses the layout of another version, and a path that is no directory", async () => {
    await prepare();
    writeFileSync(path.join(directory.data, "format"), "openlambda registry 2\n");
    await expect(open()).rejects.toMatchObject({
      code: "OL_REGISTRY_BAD_DIRECTORY",
      message: expect.stringContaining("not one that this version knows"),
    });
    const file = path.join(directory.path, "file");
    writeFileSync(file, "");
    await expect(ObjectStore.open({ directory: file })).rejects.toMatchObject({
      code: "OL_REGISTRY_BAD_DIRECTORY",
    });
  });

  test("begins again in a directory in which the first start was cut short", async () => {
    await prepare();
    rmSync(path.join(directory.data, "format"));
    for (const part of ["records", "blobs", "buckets"])
      rmSync(path.join(directory.data, part), { recursive: true });
    await using store = await open();
    await store.put("code", "a", putOf("a"), NEVER);
    expect(keys(store)).toEqual(["a"]);
  });

  test("works in a directory that was moved", async () => {
    await prepare();
    const moved = path.join(directory.path, "moved");
    renameSync(directory.data, moved);
    await using store = await openStore(moved, {}, complaints);
    expect(keys(store)).toEqual(["a", "b", "c"]);
    expect(complaints.said).toEqual([]);
  });

  test("is refused while the directory is open, also by another path, and works afterwards", async () => {
    const store = await open();
    const again = ObjectStore.open({ directory: path.join(directory.path, ".", "x", "..", "data") });
    await expect(again).rejects.toMatchObject({
      code: "OL_REGISTRY_IN_USE",
      message: expect.stringContaining(`is used by another registry (process ${process.pid}, since `),
    });
    await store.close();
    await (await open()).close();
  });
});
