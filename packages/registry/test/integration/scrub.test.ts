import { randomBytes } from "node:crypto";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import * as path from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import type { ObjectStore } from "../../src/index.ts";
import { NEVER, bodyOf, putOf, sha256Of } from "../support/bodies.ts";
import { TestDirectory } from "../support/directory.ts";
import { Complaints, contentOf, filesOf, openStore } from "../support/stores.ts";

let directory: TestDirectory;
let complaints: Complaints;
let store: ObjectStore;

const GOOD = randomBytes(700_000);
const BAD = randomBytes(600_000);

beforeEach(async () => {
  directory = new TestDirectory();
  complaints = new Complaints();
  store = await openStore(directory.data, {}, complaints);
  for (const key of ["good", "small"])
    await store.put("code", key, putOf(key === "good" ? GOOD : key), NEVER);
  await store.put("code", "bad", putOf(BAD), NEVER);
});

afterEach(async () => {
  await store.close();
  directory[Symbol.dispose]();
});

const blobOf = (content: Uint8Array | string): string => {
  const digest = sha256Of(content);
  return path.join(directory.data, "blobs", digest.slice(0, 1), digest);
};

/** One bit of it, as a disk may do it. */
const damage = (content: Uint8Array): Buffer => {
  const changed = Buffer.from(content);
  changed[changed.length - 7] = (changed[changed.length - 7] as number) ^ 1;
  writeFileSync(blobOf(content), changed);
  return changed;
};

const keys = (): string[] =>
  store.list("code", { prefix: "", delimiter: "", after: "", limit: 10 }).objects.map(({ key }) => key);

describe("A scrub", () => {
  it("reads every content, and finds nothing where nothing is wrong", async () => {
    const report = await store.scrub(NEVER);
    const bytes = GOOD.length + BAD.length + "small".length;
    expect(report).toEqual({ blobs: 3, bytes, damaged: [], garbage: { removed: 0, kept: 0 }, uploads: 0 });
    expect(complaints.said).toEqual([]);
  });

  it("sets a content aside in which one bit has changed, with all objects that have it, and deletes nothing", async () => {
    const [bad, copy] = ["bad", "copy"].map((key) => ({ bucket: "code", key })) as [never, never];
    await store.copy(bad, copy, { conditions: {} }, NEVER);
    const changed = damage(BAD);
    const { damaged } = await store.scrub(NEVER);
    expect(damaged).toEqual([
      {
        digest: sha256Of(BAD),
        reason: `its SHA-256 is ${sha256Of(changed)}`,
        objects: expect.arrayContaining([bad, copy]),
      },
    ]);
    expect(keys()).toEqual(["good", "small"]);
    expect(() => store.head("code", "bad")).toThrow(expect.objectContaining({ code: "NoSuchKey" }));
    const aside = filesOf(directory.data, "quarantine");
    expect(aside).toHaveLength(3);
    expect(aside.some((file) => readFileSync(file).equals(changed))).toBe(true);
    expect(store.stats()).toMatchObject({ objects: 2, blobs: 2, quarantined: 3 });
    expect(complaints.said.filter((line) => line === "a damaged file was set aside")).toHaveLength(3);

    await store.put("code", "bad", putOf(BAD), NEVER);
    expect((await store.scrub(NEVER)).damaged).toEqual([]);
    await store.close();
    store = await openStore(directory.data);
    expect((await contentOf(store, "bad")).equals(BAD)).toBe(true);
    expect(keys()).toEqual(["bad", "good", "small"]);
  });

  it("sets the parts of unfinished uploads aside that are damaged", async () => {
    const id = await store.createUpload("code", "new", { headers: {} });
    const content = randomBytes(1000);
    await store.putPart("code", "new", id, 1, bodyOf("whole"), NEVER);
    const part = await store.putPart("code", "new", id, 2, bodyOf(content), NEVER);
    damage(content);
    expect((await store.scrub(NEVER)).damaged).toMatchObject([{ digest: part.digest, objects: [] }]);
    expect(store.listParts("code", "new", id, 0, 10).parts).toHaveLength(1);
    const completed = store.completeUpload("code", "new", id, [part], {}, undefined, NEVER);
    await expect(completed).rejects.toMatchObject({ code: "InvalidPart" });
  });

  it("finds a content that is gone", async () => {
    rmSync(blobOf(BAD));
    const { damaged } = await store.scrub(NEVER);
    expect(damaged).toMatchObject([{ digest: sha256Of(BAD), reason: expect.stringContaining("ENOENT") }]);
    expect(keys()).toEqual(["good", "small"]);
  });

  it("removes contents that nothing names, but not while something is in quarantine, nor what is not its own", async () => {
    writeFileSync(blobOf("unnamed"), "unnamed");
    expect((await store.scrub(NEVER)).garbage).toEqual({ removed: 1, kept: 0 });
    writeFileSync(blobOf("unnamed"), "unnamed");
    writeFileSync(path.join(directory.data, "blobs", "0", "notes.txt"), "somebody's");
    damage(BAD);
    expect((await store.scrub(NEVER)).garbage).toEqual({ removed: 0, kept: 2 });
    for (const file of filesOf(directory.data, "quarantine")) rmSync(file);
    await store.close();
    store = await openStore(directory.data);
    expect((await store.scrub(NEVER)).garbage).toEqual({ removed: 0, kept: 1 });
  });

  it("removes uploads for which nothing was done for long, and keeps the others", async () => {
    await store.createUpload("code", "new", { headers: {} });
    expect((await store.scrub(NEVER)).uploads).toBe(0);
    await store.close();
    store = await openStore(directory.data, { uploadAgeMs: 0 });
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect((await store.scrub(NEVER)).uploads).toBe(1);
    expect(filesOf(directory.data, "uploads")).toEqual([]);
  });

  it("reads no faster than it may, and ends at once when it is told to", async () => {
    await store.close();
    store = await openStore(directory.data, { scrubBytesPerSecond: 2_600_000 });
    const began = performance.now();
    await store.scrub(NEVER);
    expect(performance.now() - began).toBeGreaterThan(400);

    await store.close();
    store = await openStore(directory.data, { scrubBytesPerSecond: 1 });
    const cancel = new AbortController();
    const scrubbing = store.scrub(cancel.signal);
    const reason = new Error("enough");
    setTimeout(() => cancel.abort(reason), 50);
    await expect(scrubbing).rejects.toBe(reason);
  });

  it("harms nothing that is written, overwritten and removed meanwhile", async () => {
    const going = new AbortController();
    const writing = (async () => {
      for (let at = 0; !going.signal.aborted; at += 1) {
        await store.put("code", `${at % 5}`, putOf(`${at % 3}`), NEVER);
        await store.delete("code", `${(at + 2) % 5}`);
      }
    })();
    for (let time = 0; time < 10; time += 1) expect((await store.scrub(NEVER)).damaged).toEqual([]);
    going.abort();
    await writing;
    expect((await contentOf(store, "good")).equals(GOOD)).toBe(true);
    expect(store.stats().quarantined).toBe(0);
  });
});
