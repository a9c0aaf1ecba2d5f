import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { beforeEach, describe, expect, test } from "vitest";

import { DEFAULT_PACKED_LIMITS, unpackBundle } from "../../src/index.ts";
import { bundle, entry, F, pax } from "../../src/testing/index.ts";
import { codeOf, from, Place, treeOf, unpackFile } from "../support/place.ts";

let place: Place;

beforeEach(() => {
  place = new Place();
});

/** Git's command line, in the code's directory. */
const git = (...words: string[]): Buffer =>
  execFileSync("git", ["-C", place.code, "-c", "user.name=a", "-c", "user.email=a@example.org", ...words], {
    stdio: ["ignore", "pipe", "ignore"],
  });

async function* broken(): AsyncGenerator<Buffer> {
  yield bundle(F).subarray(0, 50);
  await sleep(1);
  throw new Error("the line is dead");
}

describe("unpacking", () => {
  test.each(["ustar", "gnu", "pax", "posix"])("takes what GNU tar makes in its format %s", async (format) => {
    place.write("f.py", "def f(event): ...\n");
    place.write("bin/tool", "#!", 0o755);
    place.write(`${"d".repeat(80)}/${"e".repeat(90)}`, "deep");
    if (format !== "ustar") place.write("lib/ä.py", "x");
    execFileSync("tar", [`--format=${format}`, "-czf", place.packed, "-C", place.code, "."]);
    await unpackFile(place.packed, place.target);
    expect(treeOf(place.target)).toEqual(treeOf(place.code));
  });

  test("takes an archive of names without ./, and of no directories", async () => {
    place.write("f.py", "x");
    place.write("lib/a.py", "y");
    execFileSync("tar", ["-czf", place.packed, "-C", place.code, "f.py", "lib/a.py"]);
    await unpackFile(place.packed, place.target);
    expect(treeOf(place.target)).toEqual(treeOf(place.code));
  });

  test("takes what git makes of a repository", async () => {
    place.write("f.py", "x");
    git("init");
    git("add", ".");
    git("commit", "-m", "first");
    writeFileSync(place.packed, git("archive", "--format=tar.gz", "HEAD"));
    await unpackFile(place.packed, place.target);
    expect(treeOf(place.target)).toEqual({ "f.py": "644 x" });
  });

  test("writes names in NFC, and keeps no mode but whether it can be run", async () => {
    const parts = [
      entry({ name: "a\u0308", content: "1", mode: 0o6666 }),
      entry({ name: "b", content: "2", mode: 0o7001 }),
      entry({ name: "c/", type: "5", mode: 0o1000 }),
    ];
    await unpackBundle(from(bundle(...parts)), place.target);
    expect(treeOf(place.target)).toEqual({ "\u00E4": "644 1", b: "755 2", c: "d 755" });
  });

  test("keeps a byte order mark that begins a name", async () => {
    await unpackBundle(
      from(bundle(entry({ name: "\uFEFFf.py" }), F, pax({ path: "\uFEFFg" }), F)),
      place.target,
    );
    expect(readdirSync(place.target).sort()).toEqual(["f.py", "\uFEFFf.py", "\uFEFFg"]);
  });

  test("from a slow stream waits for it, and ends with its signal", async () => {
    const whole = bundle(F);
    const stop = new AbortController();
    let asked = 0;
    let told = false;
    const slow: AsyncIterable<Buffer> = {
      [Symbol.asyncIterator]: () => ({
        next: () => {
          asked += 1;
          if (asked === 1) return Promise.resolve({ done: false, value: whole.subarray(0, 20) });
          return new Promise(() => setTimeout(() => stop.abort(new Error("enough")), 50));
        },
        return: () => {
          told = true;
          return Promise.resolve({ done: true, value: undefined });
        },
      }),
    };
    await expect(unpackBundle(slow, place.target, { signal: stop.signal })).rejects.toThrow("enough");
    expect(told).toBe(true);
    expect(readdirSync(join(place.base, "unpacked"))).toEqual([]);
  });

  test("fails as its stream does, and nothing stays", async () => {
    await expect(unpackBundle(broken(), place.target)).rejects.toThrow("the line is dead");
    expect(readdirSync(join(place.base, "unpacked"))).toEqual([]);
  });

  test("reads no further than it has to", async () => {
    let pieces = 0;
    async function* endless(): AsyncGenerator<Buffer> {
      yield bundle(F);
      for (;;) {
        await sleep(0);
        pieces += 1;
        yield Buffer.alloc(65_536);
      }
    }
    expect(await codeOf(unpackBundle(endless(), place.target))).toBe("OL_BUNDLE_BAD_ARCHIVE");
    expect(pieces).toBeLessThan(5);
  });

  test("does not touch what is at its target", async () => {
    mkdirSync(place.target);
    expect(await codeOf(unpackBundle(from(bundle(F)), place.target))).toBe("OL_BUNDLE_TARGET_EXISTS");
    expect(readdirSync(place.target)).toEqual([]);
    place.target = join(place.base, "nowhere", "code");
    expect(await codeOf(unpackBundle(from(bundle(F)), place.target))).toBe("OL_BUNDLE_WRITE_FAILED");
    expect(existsSync(join(place.base, "nowhere"))).toBe(false);
  });

  const limited = bundle(F, entry({ name: "a/b/c.py", content: "x".repeat(20) }));

  test.each([
    ["maxPackedBytes", limited.length],
    ["maxEntries", 4],
    ["maxBytes", 47],
    ["maxFileBytes", 27],
    ["maxDepth", 2],
    ["maxPathBytes", 8],
  ] as const)("keeps the limit %s that it is given", async (limit, value) => {
    const within = { ...DEFAULT_PACKED_LIMITS, [limit]: value };
    const beyond = { ...DEFAULT_PACKED_LIMITS, [limit]: value - 1 };
    expect(await codeOf(unpackBundle(from(limited), place.target, { limits: beyond }))).toBe(
      "OL_BUNDLE_TOO_LARGE",
    );
    expect(readdirSync(join(place.base, "unpacked"))).toEqual([]);
    await unpackBundle(from(limited), place.target, { limits: within });
  });
});
