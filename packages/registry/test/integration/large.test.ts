import { randomBytes } from "node:crypto";
import { crc32 } from "node:zlib";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { deferred } from "@ol/common";

import type { ObjectStore } from "../../src/index.ts";
import { BLOCK_BYTES } from "../../src/store/block-pool.ts";
import { SMALL_BYTES } from "../../src/store/body-receiver.ts";
import { checksumsOf } from "../../src/store/checksums.ts";
import { NEVER, bodyOf, md5Of, putOf, refuse, sha256Of } from "../support/bodies.ts";
import { TestDirectory } from "../support/directory.ts";
import { SLOWNESS, scaled } from "../support/scale.ts";
import { StoreProcess } from "../support/store-process.ts";
import { contentOf, filesOf, openStore } from "../support/stores.ts";

const MIB = 1024 * 1024;
const ALGORITHMS = ["crc32", "crc32c", "crc64nvme", "sha1", "sha256"] as const;

let directory: TestDirectory;
let store: ObjectStore;

beforeEach(async () => {
  directory = new TestDirectory();
  store = await openStore(directory.data, { minPartBytes: 1 });
});
afterEach(async () => {
  await store.close();
  directory[Symbol.dispose]();
});

describe("A large upload", () => {
  const sizes = [
    SMALL_BYTES,
    SMALL_BYTES + 1,
    BLOCK_BYTES - 1,
    BLOCK_BYTES,
    BLOCK_BYTES + 1,
    8 * BLOCK_BYTES,
    8 * BLOCK_BYTES + 1,
    17 * MIB,
  ];

  it.each(
    sizes.flatMap((size) =>
      [1000 + (size % 7), 65_536, 3 * MIB].map((pieceBytes) => [size, pieceBytes] as const),
    ),
  )("of %d bytes in pieces of %d is what was sent, by every checksum", async (size, pieceBytes) => {
    const content = randomBytes(size);
    let told: unknown;
    const body = bodyOf(content, {
      pieceBytes,
      algorithms: ALGORITHMS,
      verify: (digests) => (told = digests),
    });
    const info = await store.put("code", "a", { headers: {}, body }, NEVER);
    const expected = checksumsOf(ALGORITHMS, [content]);
    expect(told).toEqual({ size, md5: md5Of(content), sha256: sha256Of(content), checksums: expected });
    expect(info).toMatchObject({ size, etag: md5Of(content), digest: sha256Of(content) });
    expect((await contentOf(store, "a")).equals(content)).toBe(true);
  });

  it("beside others and small ones is what was sent: their blocks and threads are not mixed up", async () => {
    const contents = Array.from({ length: 12 }, (_, at) =>
      randomBytes(at % 3 === 0 ? 1000 : 1_000_000 + at * 300_000),
    );
    const infos = await Promise.all(
      contents.map((content, at) => store.put("code", `${at}`, putOf(content), NEVER)),
    );
    for (const [at, content] of contents.entries()) {
      expect(infos[at]).toMatchObject({ etag: md5Of(content), digest: sha256Of(content) });
      expect((await contentOf(store, `${at}`)).equals(content)).toBe(true);
    }
  });

  it("that breaks off, is refused, or is cancelled leaves nothing, and the next one works", async () => {
    const long = randomBytes(5 * MIB);
    const broken = new Error("the client is gone");
    const body = bodyOf(long, { last: () => Promise.reject(broken) });
    await expect(store.put("code", "a", { headers: {}, body }, NEVER)).rejects.toBe(broken);

    const wrong = bodyOf(randomBytes(3 * MIB), { verify: refuse });
    await expect(store.put("code", "a", { headers: {}, body: wrong }, NEVER)).rejects.toMatchObject({
      code: "BadDigest",
    });

    const begun = deferred<void>();
    const never = deferred<void>();
    const last = (): Promise<void> => {
      begun.resolve();
      return never.promise;
    };
    const cancel = new AbortController();
    const slow = bodyOf(long, { last });
    const writing = store.put("code", "a", { headers: {}, body: slow }, cancel.signal);
    await begun.promise;
    cancel.abort(broken);
    await expect(writing).rejects.toBe(broken);
    never.resolve();

    for (const part of ["tmp", "blobs", "records"] as const)
      expect(filesOf(directory.data, part)).toEqual([]);
    await store.put("code", "a", putOf(long), NEVER);
    expect((await contentOf(store, "a")).equals(long)).toBe(true);
  });

  it("in parts has the checksum of the whole", async () => {
    const content = randomBytes(5 * MIB);
    const id = await store.createUpload("code", "a", {
      headers: {},
      algorithm: "crc32",
      checksumType: "FULL_OBJECT",
    });
    const parts = [];
    for (const [at, size] of [2 * MIB, MIB + 1, 2 * MIB].entries()) {
      const from = [0, 2 * MIB, 3 * MIB + 1][at] as number;
      parts.push(
        await store.putPart("code", "a", id, at + 1, bodyOf(content.subarray(from, from + size)), NEVER),
      );
    }
    const info = await store.completeUpload("code", "a", id, parts, {}, undefined, NEVER);
    const value = Buffer.alloc(4);
    value.writeUInt32BE(crc32(content));
    expect(info).toMatchObject({ digest: sha256Of(content), checksum: { value: value.toString("base64") } });
    expect((await contentOf(store, "a")).equals(content)).toBe(true);
  });
});

describe("Memory", () => {
  const sizeMb = scaled(100, 1024);

  it(
    `stays flat while ${sizeMb} MB are written and read`,
    async () => {
      using other = new TestDirectory();
      await using process = await StoreProcess.start({ directory: other.data });
      const used = (await process.ask("memory", { key: "a", size: sizeMb * MIB })) as {
        moreMb: number;
        same: boolean;
      };
      console.info(`${used.moreMb.toFixed(1)} MB more for ${sizeMb} MB`);
      expect(used.same).toBe(true);
      // Blocks under way, and what the collector has not looked at yet.
      expect(used.moreMb).toBeLessThan(64);
    },
    scaled(60_000, 600_000) * SLOWNESS,
  );
});

describe("Ten thousand objects", () => {
  it(
    "are there after the next start, and are listed in pages, in order, each once",
    async () => {
      using other = new TestDirectory("/dev/shm");
      const names = Array.from({ length: 10_000 }, (_, at) => `handlers/f${at % 100}/blobs/${at}.tar.gz`);
      {
        await using writing = await openStore(other.data);
        const queue = [...names];
        const writer = async (): Promise<void> => {
          for (let name = queue.pop(); name !== undefined; name = queue.pop()) {
            await writing.put("code", name, putOf(name), NEVER);
          }
        };
        await Promise.all(Array.from({ length: 16 }, writer));
      }
      await using store = await openStore(other.data);
      expect(store.stats()).toMatchObject({ objects: 10_000, blobs: 10_000 });
      const began = performance.now();
      const all: string[] = [];
      for (let after: string | undefined = ""; after !== undefined;) {
        const page: ReturnType<ObjectStore["list"]> = store.list("code", {
          prefix: "",
          delimiter: "",
          after,
          limit: 1000,
        });
        all.push(...page.objects.map(({ key }) => key));
        after = page.next;
      }
      const tookMs = performance.now() - began;
      expect(all).toEqual(names.toSorted());
      expect(tookMs).toBeLessThan(1000 * SLOWNESS);
      const folders = store.list("code", { prefix: "handlers/", delimiter: "/", after: "", limit: 1000 });
      expect(folders.commonPrefixes).toHaveLength(100);
    },
    120_000 * SLOWNESS,
  );
});
