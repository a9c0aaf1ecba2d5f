import { execFileSync, spawnSync } from "node:child_process";
import {
  chmodSync,
  createReadStream,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { gunzipSync, gzipSync } from "node:zlib";

import { isOlError } from "@ol/common";
import * as fc from "fast-check";
import { extract } from "tar-stream";
import { beforeEach, describe, expect, onTestFinished, test } from "vitest";

import { DEFAULT_PACKED_LIMITS, packBundle, unpackBundle } from "../../src/index.ts";
import { bundle, checksum, entry, F, pax } from "../../src/testing/index.ts";
import { temporaryDirectory } from "./temporary.ts";

const LONG = { timeout: 60_000 };

let base: string;
let code: string;
let packed: string;
let target: string;

beforeEach(() => {
  base = temporaryDirectory();
  code = join(base, "code");
  mkdirSync(code);
  // Each in a directory of its own, so that what is left beside it is seen.
  mkdirSync(join(base, "packed"));
  mkdirSync(join(base, "unpacked"));
  packed = join(base, "packed", "code.tar.gz");
  target = join(base, "unpacked", "code");
});

const from = (data: Buffer): AsyncIterable<Buffer> => Readable.from([data]);
const unpackFile = (file: string, to: string): Promise<unknown> => unpackBundle(createReadStream(file), to);

/** Every path below a directory: "d", or "MODE CONTENT". */
const treeOf = (directory: string): Record<string, string> => {
  const tree: Record<string, string> = {};
  for (const name of readdirSync(directory, { recursive: true, encoding: "utf8" })) {
    const path = join(directory, name);
    const stats = lstatSync(path);
    const mode = (stats.mode & 0o7777).toString(8);
    tree[name] = stats.isDirectory() ? `d ${mode}` : `${mode} ${readFileSync(path).toString("latin1")}`;
  }
  return tree;
};

const write = (path: string, content: string | Buffer, mode = 0o644): void => {
  mkdirSync(join(code, path, ".."), { recursive: true });
  writeFileSync(join(code, path), content);
  chmodSync(join(code, path), mode);
};

const codeOf = async (attempt: Promise<unknown>): Promise<string> => {
  try {
    await attempt;
  } catch (error) {
    return isOlError(error) ? error.code : `no OlError: ${String(error)}`;
  }
  return "no error";
};

/** Git's command line, in the code's directory. */
const git = (...words: string[]): Buffer =>
  execFileSync("git", ["-C", code, "-c", "user.name=a", "-c", "user.email=a@example.org", ...words], {
    stdio: ["ignore", "pipe", "ignore"],
  });

async function* broken(): AsyncGenerator<Buffer> {
  yield bundle(F).subarray(0, 50);
  await sleep(1);
  throw new Error("the line is dead");
}

describe("a packed bundle", () => {
  test("unpacks to what was packed, with plain modes, to nobody's profit whose umask is odd", async () => {
    const umask = process.umask(0o077);
    onTestFinished(() => void process.umask(umask));
    write("f.py", "def f(event):\n    return 1\n", 0o600);
    write("bin/tool", Buffer.from([0, 1, 255]), 0o4711);
    write("lib/ä/ö.py", "");
    write(`${"a".repeat(200)}/${"b".repeat(200)}.py`, "x".repeat(70_000));
    mkdirSync(join(code, "empty"));
    await packBundle(code, packed);
    await unpackFile(packed, target);
    expect(treeOf(target)).toEqual({
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
    expect(statSync(target).mode & 0o7777).toBe(0o755);
  });

  test("says the same of itself when it is packed and unpacked", async () => {
    write("f.py", "x".repeat(1000));
    write("a/b/c", "y");
    const made = await packBundle(code, packed);
    expect(made).toMatchObject({ entries: 4, bytes: 1001, packedBytes: statSync(packed).size });
    expect(await unpackFile(packed, target)).toEqual(made);
    const sum = execFileSync("sha256sum", [packed], { encoding: "utf8" }).slice(0, 64);
    expect(made.digest).toBe(sum);
  });

  test("is the same for the same code, whatever its place, times, modes and the order it was made in", async () => {
    for (const name of ["f.py", "a", "b/c", "b.d", "B2/x", "ä"]) write(name, name);
    const { digest } = await packBundle(code, packed);
    code = join(base, "again");
    mkdirSync(code);
    for (const name of ["ä", "b.d", "B2/x", "b/c", "a", "f.py"]) write(name, name, 0o600);
    execFileSync("touch", ["-d", "2001-01-01", join(code, "a"), join(code, "b")]);
    // By another way of writing the same letter.
    execFileSync("mv", [join(code, "ä"), join(code, "a\u0308")]);
    expect((await packBundle(code, join(base, "packed", "2"))).digest).toBe(digest);
    expect(readFileSync(join(base, "packed", "2"))).toEqual(readFileSync(packed));
    write("a", "b");
    expect((await packBundle(code, join(base, "packed", "3"))).digest).not.toBe(digest);
  });

  test("of a tree that was unpacked is the one that it was unpacked from", async () => {
    for (const name of ["f.py", "a/b", "ä", "x".repeat(150)])
      write(name, name, name === "a/b" ? 0o755 : 0o644);
    await packBundle(code, packed);
    await unpackFile(packed, target);
    await packBundle(target, join(base, "packed", "2"));
    expect(readFileSync(join(base, "packed", "2"))).toEqual(readFileSync(packed));
  });

  test("holds no owner and no time, and comes in the order of the names' bytes", async () => {
    for (const name of ["b", "a/z", "a.b", "Z", "ä", "€", "😀"]) write(name, "");
    await packBundle(code, packed);
    const seen: [string, number, number, number, string, string][] = [];
    const reader = extract();
    reader.end(gunzipSync(readFileSync(packed)));
    for await (const one of reader) {
      const { name, uid, gid, mtime, uname, gname } = one.header;
      seen.push([name, uid ?? -1, gid ?? -1, mtime?.getTime() ?? -1, uname ?? "", gname ?? ""]);
      one.resume();
    }
    expect(seen.map(([name]) => name)).toEqual(["Z", "a/", "a/z", "a.b", "b", "ä", "€", "😀"]);
    for (const [, ...rest] of seen) expect(rest).toEqual([0, 0, 0, "", ""]);
    // Nor does gzip's own header.
    expect([...readFileSync(packed).subarray(0, 10)]).toEqual([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff]);
  });

  test("is read by GNU tar without a word", async () => {
    write("f.py", "x");
    write(`${"ä".repeat(60)}/b`, "y".repeat(3000), 0o755);
    await packBundle(code, packed);
    mkdirSync(target);
    const { status, stdout, stderr } = spawnSync("tar", ["-xzf", packed, "-C", target], { encoding: "utf8" });
    expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: "", stderr: "" });
    expect(treeOf(target)).toEqual(treeOf(code));
  });

  test("holds what links within the code lead to", async () => {
    write("lib/a.py", "1");
    symlinkSync("lib/a.py", join(code, "f.py"));
    symlinkSync("lib", join(code, "vendor"));
    linkSync(join(code, "lib/a.py"), join(code, "hard.py"));
    await packBundle(code, packed);
    await unpackFile(packed, target);
    expect(treeOf(target)).toEqual({
      "f.py": "644 1",
      "hard.py": "644 1",
      lib: "d 755",
      "lib/a.py": "644 1",
      vendor: "d 755",
      "vendor/a.py": "644 1",
    });
  });

  test("leaves out what it is told to, and does not count it", async () => {
    write("f.py", "1");
    for (let at = 0; at < 30; at += 1) write(`lib/.git/objects/${at}`, "x");
    const limits = { ...DEFAULT_PACKED_LIMITS, maxEntries: 5 };
    await packBundle(code, packed, { limits, skip: (name) => name === ".git" });
    await unpackFile(packed, target);
    expect(treeOf(target)).toEqual({ "f.py": "644 1", lib: "d 755" });
  });

  test.each<[string, string, () => void]>([
    ["a link that leads out", "OL_BUNDLE_UNSAFE_FILE", () => symlinkSync("/etc/passwd", join(code, "a"))],
    ["a FIFO", "OL_BUNDLE_UNSAFE_FILE", () => void execFileSync("mkfifo", [join(code, "a")])],
    ["a name with a backslash", "OL_BUNDLE_UNSAFE_FILE", () => write("a\\b", "")],
    ["a name with a line's end", "OL_BUNDLE_UNSAFE_FILE", () => write("a\nb", "")],
    [
      "names that differ in capitals",
      "OL_BUNDLE_UNSAFE_FILE",
      () => (write("lib/A", ""), write("lib/a", "")),
    ],
    [
      "a large file of nothing but zeros",
      "OL_BUNDLE_TOO_LARGE",
      () => write("zeros", Buffer.alloc(30 * 1024 * 1024)),
    ],
    ["nothing where it should be", "OL_BUNDLE_NOT_FOUND", () => void (code = join(base, "nowhere"))],
  ])("is not made of code with %s", async (_name, expected, make) => {
    write("f.py", "");
    make();
    expect(await codeOf(packBundle(code, packed))).toBe(expected);
    expect(readdirSync(join(base, "packed"))).toEqual([]);
  });

  test("does not take the place of a file that is there", async () => {
    write("f.py", "");
    writeFileSync(packed, "mine");
    expect(await codeOf(packBundle(code, packed))).toBe("OL_BUNDLE_TARGET_EXISTS");
    expect(readFileSync(packed, "utf8")).toBe("mine");
  });

  test("of a directory that is written all the time is of one moment, or there is none", LONG, async () => {
    write("a", "0");
    write("b", "0");
    const writer = new AbortController();
    const writing = (async () => {
      for (let count = 1; !writer.signal.aborted; count += 1) {
        for (const name of ["a", "b"]) {
          write(name, String(count));
          await sleep(1);
        }
      }
    })();
    for (let round = 0; round < 10; round += 1) {
      const file = join(base, "packed", String(round));
      const outcome = await codeOf(packBundle(code, file));
      expect(["no error", "OL_BUNDLE_CHANGING"]).toContain(outcome);
      if (outcome !== "no error") continue;
      await unpackFile(file, `${target}${round}`);
      const [a, b] = ["a", "b"].map((name) => Number(readFileSync(join(`${target}${round}`, name), "utf8")));
      expect(Number(a) - Number(b)).toBeOneOf([0, 1]);
    }
    writer.abort();
    await writing;
  });
});

describe("unpacking", () => {
  test.each(["ustar", "gnu", "pax", "posix"])("takes what GNU tar makes in its format %s", async (format) => {
    write("f.py", "def f(event): ...\n");
    write("bin/tool", "#!", 0o755);
    write(`${"d".repeat(80)}/${"e".repeat(90)}`, "deep");
    if (format !== "ustar") write("lib/ä.py", "x");
    execFileSync("tar", [`--format=${format}`, "-czf", packed, "-C", code, "."]);
    await unpackFile(packed, target);
    expect(treeOf(target)).toEqual(treeOf(code));
  });

  test("takes an archive of names without ./, and of no directories", async () => {
    write("f.py", "x");
    write("lib/a.py", "y");
    execFileSync("tar", ["-czf", packed, "-C", code, "f.py", "lib/a.py"]);
    await unpackFile(packed, target);
    expect(treeOf(target)).toEqual(treeOf(code));
  });

  test("takes what git makes of a repository", async () => {
    write("f.py", "x");
    git("init");
    git("add", ".");
    git("commit", "-m", "first");
    writeFileSync(packed, git("archive", "--format=tar.gz", "HEAD"));
    await unpackFile(packed, target);
    expect(treeOf(target)).toEqual({ "f.py": "644 x" });
  });

  test("writes names in NFC, and keeps no mode but whether it can be run", async () => {
    const parts = [
      entry({ name: "a\u0308", content: "1", mode: 0o6666 }),
      entry({ name: "b", content: "2", mode: 0o7001 }),
      entry({ name: "c/", type: "5", mode: 0o1000 }),
    ];
    await unpackBundle(from(bundle(...parts)), target);
    expect(treeOf(target)).toEqual({ "\u00E4": "644 1", b: "755 2", c: "d 755" });
  });

  test("keeps a byte order mark that begins a name", async () => {
    await unpackBundle(from(bundle(entry({ name: "\uFEFFf.py" }), F, pax({ path: "\uFEFFg" }), F)), target);
    expect(readdirSync(target).sort()).toEqual(["f.py", "\uFEFFf.py", "\uFEFFg"]);
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
    await expect(unpackBundle(slow, target, { signal: stop.signal })).rejects.toThrow("enough");
    expect(told).toBe(true);
    expect(readdirSync(join(base, "unpacked"))).toEqual([]);
  });

  test("fails as its stream does, and nothing stays", async () => {
    await expect(unpackBundle(broken(), target)).rejects.toThrow("the line is dead");
    expect(readdirSync(join(base, "unpacked"))).toEqual([]);
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
    expect(await codeOf(unpackBundle(endless(), target))).toBe("OL_BUNDLE_BAD_ARCHIVE");
    expect(pieces).toBeLessThan(5);
  });

  test("does not touch what is at its target", async () => {
    mkdirSync(target);
    expect(await codeOf(unpackBundle(from(bundle(F)), target))).toBe("OL_BUNDLE_TARGET_EXISTS");
    expect(readdirSync(target)).toEqual([]);
    target = join(base, "nowhere", "code");
    expect(await codeOf(unpackBundle(from(bundle(F)), target))).toBe("OL_BUNDLE_WRITE_FAILED");
    expect(existsSync(join(base, "nowhere"))).toBe(false);
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
    expect(await codeOf(unpackBundle(from(limited), target, { limits: beyond }))).toBe("OL_BUNDLE_TOO_LARGE");
    expect(readdirSync(join(base, "unpacked"))).toEqual([]);
    await unpackBundle(from(limited), target, { limits: within });
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
        code = join(base, `code-${round}`);
        mkdirSync(code);
        for (const [name, { content, run }] of Object.entries(files)) {
          try {
            write(name, Buffer.from(content), run ? 0o755 : 0o644);
          } catch (error) {
            // One path goes through another's file, or is its directory: that one is left out.
            if (!["EEXIST", "ENOTDIR", "EISDIR"].includes((error as NodeJS.ErrnoException).code ?? ""))
              throw error;
          }
        }
        const file = join(base, "packed", String(round));
        const to = `${target}-${round}`;
        const made = await packBundle(code, file);
        expect(await unpackFile(file, to)).toEqual(made);
        expect(treeOf(to)).toEqual(treeOf(code));
      }),
      { numRuns: 60 },
    );
  });
});

/** How unpacking ended, and what was left of it. */
const outcomeOf = async (data: Buffer): Promise<Record<string, unknown>> => {
  const to = join(base, "unpacked", "any");
  const outcome = await codeOf(unpackBundle(from(data), to));
  const left = [...readdirSync(base), ...readdirSync(join(base, "unpacked"))].sort();
  const tree = existsSync(to) ? treeOf(to) : undefined;
  execFileSync("rm", ["-rf", to]);
  return { outcome, left, tree };
};

const REFUSALS = ["OL_BUNDLE_BAD_ARCHIVE", "OL_BUNDLE_UNSAFE_FILE", "OL_BUNDLE_TOO_LARGE"];
const TAKEN = { outcome: "no error", left: ["any", "code", "packed", "unpacked"] };
const NOTHING = {
  outcome: expect.toBeOneOf(REFUSALS) as string,
  left: ["code", "packed", "unpacked"],
  tree: undefined,
};

describe("any damage", () => {
  const whole = bundle(
    F,
    entry({ name: "lib/", type: "5" }),
    pax({ path: "lib/ä.py" }),
    entry({ name: "x", content: "y".repeat(900) }),
    entry({ name: "b", content: "z" }),
  );

  test("to a bundle's bytes is found, and leaves nothing", LONG, async () => {
    const flips = fc.array(fc.tuple(fc.nat(whole.length - 1), fc.integer({ min: 1, max: 255 })), {
      minLength: 1,
      maxLength: 4,
    });
    const { tree } = await outcomeOf(whole);
    await fc.assert(
      fc.asyncProperty(flips, async (changes) => {
        const copy = Buffer.from(whole);
        for (const [at, bits] of changes) copy[at] = (copy[at] as number) ^ bits;
        // In gzip's header are a time and a system's number, which mean nothing.
        expect(await outcomeOf(copy)).toEqual(expect.toBeOneOf([{ ...TAKEN, tree }, NOTHING]));
      }),
      { numRuns: 300 },
    );
  });

  test("to the archive within it is found, or harmless, and leaves nothing", LONG, async () => {
    const inner = gunzipSync(whole);
    const flips = fc.array(fc.tuple(fc.nat(inner.length - 1), fc.integer({ min: 0, max: 255 })), {
      minLength: 1,
      maxLength: 6,
    });
    await fc.assert(
      fc.asyncProperty(flips, fc.nat(600), fc.boolean(), async (changes, cut, sound) => {
        const copy = Buffer.from(inner);
        for (const [at, byte] of changes) copy[at] = byte;
        // With checksums that are right, so that what is behind them is looked at.
        if (sound) for (let at = 0; at + 512 <= copy.length; at += 512) mend(copy.subarray(at, at + 512));
        const packedAgain = gzipSync(copy.subarray(0, copy.length - (cut > 300 ? cut : 0)));
        expect(await outcomeOf(packedAgain)).toEqual(
          expect.toBeOneOf([expect.objectContaining(TAKEN), NOTHING]),
        );
      }),
      { numRuns: 400 },
    );
  });

  test("by a cut anywhere is found, and leaves nothing", LONG, async () => {
    for (let length = 0; length < whole.length; length += 1) {
      const outcome = await codeOf(unpackBundle(from(whole.subarray(0, length)), target));
      expect([length, outcome]).toEqual([length, "OL_BUNDLE_BAD_ARCHIVE"]);
    }
    expect(readdirSync(join(base, "unpacked"))).toEqual([]);
  });
});

/** Makes a header's checksum right; what is no header stays as it is. */
const mend = (block: Buffer): void => {
  if (block.toString("latin1", 257, 262) === "ustar") checksum(block);
};
