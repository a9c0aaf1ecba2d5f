import { execFileSync, spawnSync } from "node:child_process";
import {
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { gunzipSync } from "node:zlib";

import * as fc from "fast-check";
import { extract } from "tar-stream";
import { beforeEach, describe, expect, onTestFinished, test } from "vitest";

import { DEFAULT_PACKED_LIMITS, packBundle } from "../../src/index.ts";
import { codeOf, Place, treeOf, unpackFile } from "../support/place.ts";

const LONG = { timeout: 60_000 };

let place: Place;

beforeEach(() => {
  place = new Place();
});

describe("a packed bundle", () => {
  test("unpacks to what was packed, with plain modes, to nobody's profit whose umask is odd", async () => {
    const umask = process.umask(0o077);
    onTestFinished(() => void process.umask(umask));
    place.write("f.py", "def f(event):\n    return 1\n", 0o600);
    place.write("bin/tool", Buffer.from([0, 1, 255]), 0o4711);
    place.write("lib/ä/ö.py", "");
    place.write(`${"a".repeat(200)}/${"b".repeat(200)}.py`, "x".repeat(70_000));
    mkdirSync(join(place.code, "empty"));
    await packBundle(place.code, place.packed);
    await unpackFile(place.packed, place.target);
    expect(treeOf(place.target)).toEqual({
      "f.py": "644 def f(event):\n    return 1\n",
      bin: "d 755",
      "bin/tool": "755 \0\u0001ÿ",
      lib: "d 755",
      "lib/ä": "d 755",
      "lib/ä/ö.py": "644 ",
      ["a".repeat(200)]: "d 755",
      [`${"a".repeat(200)}/${"b".repeat(200)}.py`]: `644 ${"x".repeat(70_000)}`,
      empty: "d 755",
    });
    expect(statSync(place.target).mode & 0o7777).toBe(0o755);
  });

  test("says the same of itself when it is packed and unpacked", async () => {
    place.write("f.py", "x".repeat(1000));
    place.write("a/b/c", "y");
    const made = await packBundle(place.code, place.packed);
    expect(made).toMatchObject({ entries: 4, bytes: 1001, packedBytes: statSync(place.packed).size });
    expect(await unpackFile(place.packed, place.target)).toEqual(made);
    const sum = execFileSync("sha256sum", [place.packed], { encoding: "utf8" }).slice(0, 64);
    expect(made.digest).toBe(sum);
  });

  test("is the same for the same code, whatever its place, times, modes and the order it was made in", async () => {
    for (const name of ["f.py", "a", "b/c", "b.d", "B2/x", "ä"]) place.write(name, name);
    const { digest } = await packBundle(place.code, place.packed);
    place.code = join(place.base, "again");
    mkdirSync(place.code);
    for (const name of ["ä", "b.d", "B2/x", "b/c", "a", "f.py"]) place.write(name, name, 0o600);
    execFileSync("touch", ["-d", "2001-01-01", join(place.code, "a"), join(place.code, "b")]);
    // By another way of writing the same letter.
    execFileSync("mv", [join(place.code, "ä"), join(place.code, "a\u0308")]);
    expect((await packBundle(place.code, join(place.base, "packed", "2"))).digest).toBe(digest);
    expect(readFileSync(join(place.base, "packed", "2"))).toEqual(readFileSync(place.packed));
    place.write("a", "b");
    expect((await packBundle(place.code, join(place.base, "packed", "3"))).digest).not.toBe(digest);
  });

  test("of a tree that was unpacked is the one that it was unpacked from", async () => {
    for (const name of ["f.py", "a/b", "ä", "x".repeat(150)])
      place.write(name, name, name === "a/b" ? 0o755 : 0o644);
    await packBundle(place.code, place.packed);
    await unpackFile(place.packed, place.target);
    await packBundle(place.target, join(place.base, "packed", "2"));
    expect(readFileSync(join(place.base, "packed", "2"))).toEqual(readFileSync(place.packed));
  });

  test("holds no owner and no time, and comes in the order of the names' bytes", async () => {
    for (const name of ["b", "a/z", "a.b", "Z", "ä", "€", "😀"]) place.write(name, "");
    await packBundle(place.code, place.packed);
    const seen: [string, number, number, number, string, string][] = [];
    const reader = extract();
    reader.end(gunzipSync(readFileSync(place.packed)));
    for await (const one of reader) {
      const { name, uid, gid, mtime, uname, gname } = one.header;
      seen.push([name, uid ?? -1, gid ?? -1, mtime?.getTime() ?? -1, uname ?? "", gname ?? ""]);
      one.resume();
    }
    expect(seen.map(([name]) => name)).toEqual(["Z", "a/", "a/z", "a.b", "b", "ä", "€", "😀"]);
    for (const [, ...rest] of seen) expect(rest).toEqual([0, 0, 0, "", ""]);
    // Nor does gzip's own header.
    expect([...readFileSync(place.packed).subarray(0, 10)]).toEqual([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff]);
  });

  test("is read by GNU tar without a word", async () => {
    place.write("f.py", "x");
    place.write(`${"ä".repeat(60)}/b`, "y".repeat(3000), 0o755);
    await packBundle(place.code, place.packed);
    mkdirSync(place.target);
    const { status, stdout, stderr } = spawnSync("tar", ["-xzf", place.packed, "-C", place.target], {
      encoding: "utf8",
    });
    expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: "", stderr: "" });
    expect(treeOf(place.target)).toEqual(treeOf(place.code));
  });

  test("holds what links within the code lead to", async () => {
    place.write("lib/a.py", "1");
    symlinkSync("lib/a.py", join(place.code, "f.py"));
    symlinkSync("lib", join(place.code, "vendor"));
    linkSync(join(place.code, "lib/a.py"), join(place.code, "hard.py"));
    await packBundle(place.code, place.packed);
    await unpackFile(place.packed, place.target);
    expect(treeOf(place.target)).toEqual({
      "f.py": "644 1",
      "hard.py": "644 1",
      lib: "d 755",
      "lib/a.py": "644 1",
      vendor: "d 755",
      "vendor/a.py": "644 1",
    });
  });

  test("leaves out what it is told to, and does not count it", async () => {
    place.write("f.py", "1");
    for (let at = 0; at < 30; at += 1) place.write(`lib/.git/objects/${at}`, "x");
    const limits = { ...DEFAULT_PACKED_LIMITS, maxEntries: 5 };
    await packBundle(place.code, place.packed, { limits, skip: (name) => name === ".git" });
    await unpackFile(place.packed, place.target);
    expect(treeOf(place.target)).toEqual({ "f.py": "644 1", lib: "d 755" });
  });

  test.each<[string, string, () => void]>([
    [
      "a link that leads out",
      "OL_BUNDLE_UNSAFE_FILE",
      () => symlinkSync("/etc/passwd", join(place.code, "a")),
    ],
    ["a FIFO", "OL_BUNDLE_UNSAFE_FILE", () => void execFileSync("mkfifo", [join(place.code, "a")])],
    ["a name with a backslash", "OL_BUNDLE_UNSAFE_FILE", () => place.write("a\\b", "")],
    ["a name with a line's end", "OL_BUNDLE_UNSAFE_FILE", () => place.write("a\nb", "")],
    [
      "names that differ in capitals",
      "OL_BUNDLE_UNSAFE_FILE",
      () => (place.write("lib/A", ""), place.write("lib/a", "")),
    ],
    [
      "a large file of nothing but zeros",
      "OL_BUNDLE_TOO_LARGE",
      () => place.write("zeros", Buffer.alloc(30 * 1024 * 1024)),
    ],
    [
      "nothing where it should be",
      "OL_BUNDLE_NOT_FOUND",
      () => void (place.code = join(place.base, "nowhere")),
    ],
  ])("is not made of code with %s", async (_name, expected, make) => {
    place.write("f.py", "");
    make();
    expect(await codeOf(packBundle(place.code, place.packed))).toBe(expected);
    expect(readdirSync(join(place.base, "packed"))).toEqual([]);
  });

  test("does not take the place of a file that is there", async () => {
    place.write("f.py", "");
    writeFileSync(place.packed, "mine");
    expect(await codeOf(packBundle(place.code, place.packed))).toBe("OL_BUNDLE_TARGET_EXISTS");
    expect(readFileSync(place.packed, "utf8")).toBe("mine");
  });

  test("of a directory that is written all the time is of one moment, or there is none", LONG, async () => {
    place.write("a", "0");
    place.write("b", "0");
    const writer = new AbortController();
    const writing = (async () => {
      for (let count = 1; !writer.signal.aborted; count += 1) {
        for (const name of ["a", "b"]) {
          place.write(name, String(count));
          await sleep(1);
        }
      }
    })();
    for (let round = 0; round < 10; round += 1) {
      const file = join(place.base, "packed", String(round));
      const outcome = await codeOf(packBundle(place.code, file));
      expect(["no error", "OL_BUNDLE_CHANGING"]).toContain(outcome);
      if (outcome !== "no error") continue;
      await unpackFile(file, `${place.target}${round}`);
      const [a, b] = ["a", "b"].map((name) =>
        Number(readFileSync(join(`${place.target}${round}`, name), "utf8")),
      );
      expect(Number(a) - Number(b)).toBeOneOf([0, 1]);
    }
    writer.abort();
    await writing;
  });
});

const word = fc.stringMatching(/^[a-zäöß€😀_-]{1,12}$/u).map((name) => name.normalize("NFC"));
const path = fc.array(word, { minLength: 1, maxLength: 4 }).map((parts) => parts.join("/"));
const tree = fc.dictionary(
  path,
  fc.record({ content: fc.uint8Array({ maxLength: 3000 }), run: fc.boolean() }),
  { maxKeys: 12 },
);

describe("any tree", () => {
  test("comes out of its bundle as it went in", LONG, async () => {
    let round = 0;
    await fc.assert(
      fc.asyncProperty(tree, async (files) => {
        round += 1;
        place.code = join(place.base, `code-${round}`);
        mkdirSync(place.code);
        for (const [name, { content, run }] of Object.entries(files)) {
          try {
            place.write(name, Buffer.from(content), run ? 0o755 : 0o644);
          } catch (error) {
            // One path goes through another's file, or is its directory: that one is left out.
            if (!["EEXIST", "ENOTDIR", "EISDIR"].includes((error as NodeJS.ErrnoException).code ?? ""))
              throw error;
          }
        }
        const file = join(place.base, "packed", String(round));
        const to = `${place.target}-${round}`;
        const made = await packBundle(place.code, file);
        expect(await unpackFile(file, to)).toEqual(made);
        expect(treeOf(to)).toEqual(treeOf(place.code));
      }),
      { numRuns: 60 },
    );
  });
});
