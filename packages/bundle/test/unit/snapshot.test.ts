import { execFileSync } from "node:child_process";
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";

import { beforeEach, describe, expect, onTestFinished, test } from "vitest";

import { DEFAULT_BUNDLE_LIMITS, fingerprintDirectory, snapshotDirectory } from "../../src/index.ts";
import { temporaryDirectory } from "../support/temporary.ts";

/** For what takes a second or two where nothing else runs. */
const LONG = { timeout: 60_000 };
const isRoot = process.getuid?.() === 0;

let base: string;
let code: string;
let target: string;

beforeEach(() => {
  base = temporaryDirectory();
  code = join(base, "code");
  target = join(base, "copies", "1");
  mkdirSync(code);
  mkdirSync(join(base, "copies"));
  writeFileSync(join(code, "f.py"), "def f(event):\n    return 1\n");
});

const codeOf = async (attempt: Promise<unknown>): Promise<string> => {
  try {
    await attempt;
  } catch (error) {
    return (error as { code: string }).code;
  }
  return "no error";
};

/** How a copy ended, and what of it stayed. */
const outcome = async (): Promise<{ code: string; left: string[] }> => ({
  code: await codeOf(snapshotDirectory(code, target)),
  left: readdirSync(join(base, "copies")),
});

const refused = (expected: string): { code: string; left: string[] } => ({ code: expected, left: [] });

describe("a snapshot", () => {
  test("holds every file and directory with plain modes", async () => {
    mkdirSync(join(code, "lib", "empty"), { recursive: true });
    writeFileSync(join(code, "lib", "tool"), "x", { mode: 0o777 });
    chmodSync(join(code, "lib", "tool"), 0o4711);
    chmodSync(join(code, "f.py"), 0o600);
    await snapshotDirectory(code, target);
    expect(readFileSync(join(target, "f.py"), "utf8")).toContain("return 1");
    const modeOf = (path: string): number => statSync(join(target, path)).mode & 0o7777;
    expect(modeOf("")).toBe(0o755);
    expect(modeOf("lib/empty")).toBe(0o755);
    expect(modeOf("lib/tool")).toBe(0o755);
    expect(modeOf("f.py")).toBe(0o644);
  });

  test("has one digest for equal code, whatever its place, order and times", async () => {
    writeFileSync(join(code, "a"), "1");
    writeFileSync(join(code, "b"), "2");
    const other = join(base, "other");
    mkdirSync(other);
    writeFileSync(join(other, "b"), "2", { mode: 0o600 });
    writeFileSync(join(other, "a"), "1");
    writeFileSync(join(other, "f.py"), readFileSync(join(code, "f.py")));
    const one = await snapshotDirectory(code, target);
    const two = await snapshotDirectory(other, `${target}b`);
    expect(one.digest).toMatch(/^[0-9a-f]{64}$/u);
    expect(two.digest).toBe(one.digest);
  });

  test.each<[string, () => void]>([
    ["content", () => writeFileSync(join(code, "f.py"), "def f(event):\n    return 2\n")],
    ["a name", () => renameSync(join(code, "f.py"), join(code, "g.py"))],
    ["the execute bit", () => chmodSync(join(code, "f.py"), 0o755)],
    ["an empty directory", () => mkdirSync(join(code, "d"))],
  ])("has another digest once %s changes", async (_name, change) => {
    const before = await snapshotDirectory(code, target);
    change();
    const after = await snapshotDirectory(code, `${target}b`);
    expect(after.digest).not.toBe(before.digest);
  });

  test("tells apart contents that run into each other across files", async () => {
    writeFileSync(join(code, "a"), "xy");
    writeFileSync(join(code, "b"), "z");
    const one = await snapshotDirectory(code, target);
    writeFileSync(join(code, "a"), "x");
    writeFileSync(join(code, "b"), "yz");
    expect((await snapshotDirectory(code, `${target}b`)).digest).not.toBe(one.digest);
  });

  test("copies links that stay inside as what they lead to", async () => {
    mkdirSync(join(code, "lib"));
    writeFileSync(join(code, "lib", "x.py"), "x = 1");
    symlinkSync("f.py", join(code, "g.py"));
    symlinkSync("../f.py", join(code, "lib", "up.py"));
    symlinkSync("lib", join(code, "alias"));
    symlinkSync(join(code, "lib", "x.py"), join(code, "absolute.py"));
    await snapshotDirectory(code, target);
    for (const path of ["g.py", "lib/up.py", "alias/x.py", "absolute.py"])
      expect(statSync(join(target, path)).isFile()).toBe(true);
    const links = execFileSync("find", [target, "-type", "l"], { encoding: "utf8" });
    expect(links).toBe("");
  });

  test("may be taken of a directory that is itself reached through a link", async () => {
    symlinkSync(code, join(base, "link"));
    await snapshotDirectory(join(base, "link"), target);
    expect(existsSync(join(target, "f.py"))).toBe(true);
  });

  test("is refused where something exists already, and leaves that alone", async () => {
    mkdirSync(target);
    expect(await codeOf(snapshotDirectory(code, target))).toBe("OL_BUNDLE_TARGET_EXISTS");
    expect(readdirSync(target)).toEqual([]);
  });

  test("of a directory that does not exist is a not-found error", async () => {
    rmSync(code, { recursive: true });
    expect(await outcome()).toEqual(refused("OL_BUNDLE_NOT_FOUND"));
    writeFileSync(code, "a file");
    expect(await outcome()).toEqual(refused("OL_BUNDLE_NOT_FOUND"));
  });
});

describe("a hostile directory", () => {
  test.each([
    ["a file outside", "/etc/passwd"],
    ["a directory outside", "/etc"],
    ["the parent", ".."],
    ["itself", "."],
    ["a neighbour whose name begins alike", "../code-secret"],
    ["nothing", "nowhere"],
    ["a circle", "loop"],
    ["the host through /proc", "/proc/self/root/etc/passwd"],
  ])("with a link to %s is refused", async (_name, to) => {
    mkdirSync(join(base, "code-secret"));
    symlinkSync(to, join(code, "loop"));
    expect(await outcome()).toEqual(refused("OL_BUNDLE_UNSAFE_FILE"));
  });

  test("with a link to a directory above the link is refused", async () => {
    mkdirSync(join(code, "a", "b"), { recursive: true });
    symlinkSync("..", join(code, "a", "b", "up"));
    expect(await outcome()).toEqual(refused("OL_BUNDLE_UNSAFE_FILE"));
  });

  test.each<[string, () => void]>([
    ["a FIFO", () => void execFileSync("mkfifo", [join(code, "pipe")])],
    // Nobody else can make one.
    ...(isRoot
      ? [
          ["a device", () => void execFileSync("mknod", [join(code, "null"), "c", "1", "3"])] as [
            string,
            () => void,
          ],
        ]
      : []),
  ])("with %s is refused without waiting for anybody", async (_name, make) => {
    make();
    expect(await outcome()).toEqual(refused("OL_BUNDLE_UNSAFE_FILE"));
  });

  test("with a socket is refused", async () => {
    const server = createServer();
    await new Promise<void>((resolve) => {
      server.listen(join(code, "socket"), resolve);
    });
    onTestFinished(() => void server.close());
    expect(await outcome()).toEqual(refused("OL_BUNDLE_UNSAFE_FILE"));
  });

  test("with a name that is not UTF-8 is refused", async () => {
    writeFileSync(Buffer.concat([Buffer.from(`${code}/`), Buffer.from([0xff, 0xfe])]), "x");
    expect(await outcome()).toEqual(refused("OL_BUNDLE_UNSAFE_FILE"));
  });

  test("with links that multiply the same files is stopped by the number of entries", async () => {
    mkdirSync(join(code, "d0"));
    for (let level = 1; level < 20; level++) {
      mkdirSync(join(code, `d${level}`));
      for (const name of ["a", "b"]) symlinkSync(`../d${level - 1}`, join(code, `d${level}`, name));
    }
    // A thousandth of what the links amount to.
    const limits = { ...DEFAULT_BUNDLE_LIMITS, maxEntries: 1_000 };
    expect(await codeOf(snapshotDirectory(code, target, { limits }))).toBe("OL_BUNDLE_TOO_LARGE");
  });

  test("that is too deep, too full or too large is refused", async () => {
    const limits = { maxEntries: 5, maxBytes: 1000, maxDepth: 2 };
    const attempt = (): Promise<string> => codeOf(snapshotDirectory(code, target, { limits }));
    mkdirSync(join(code, "a/b/c"), { recursive: true });
    expect(await attempt()).toBe("OL_BUNDLE_TOO_LARGE");
    rmSync(join(code, "a"), { recursive: true });
    for (let i = 0; i < 5; i++) writeFileSync(join(code, `x${i}`), "");
    expect(await attempt()).toBe("OL_BUNDLE_TOO_LARGE");
    for (let i = 0; i < 5; i++) rmSync(join(code, `x${i}`));
    truncateSync(join(code, "f.py"), 1001);
    expect(await attempt()).toBe("OL_BUNDLE_TOO_LARGE");
    truncateSync(join(code, "f.py"), 1000);
    expect(await attempt()).toBe("no error");
  });

  test("with a huge file that has no content is refused before it is read", async () => {
    truncateSync(join(code, "f.py"), 1024 ** 4);
    const start = performance.now();
    expect(await outcome()).toEqual(refused("OL_BUNDLE_TOO_LARGE"));
    expect(performance.now() - start).toBeLessThan(5000);
  });

  test("with a file that its owner may not read is refused by name, or read by root as an ordinary file", async () => {
    writeFileSync(join(code, "secret"), "x", { mode: 0 });
    const said = await snapshotDirectory(code, target).then(
      () => `mode ${(statSync(join(target, "secret")).mode & 0o7777).toString(8)}`,
      (error: unknown) => (error as Error).message,
    );
    expect(said).toMatch(isRoot ? /^mode 644$/u : /"secret".*permission denied/u);
  });

  test("whose file is written all the time ends in an error, or in a copy of one moment", async () => {
    const file = join(code, "data");
    writeFileSync(file, "x".repeat(2 * 1024 * 1024));
    const timer = setInterval(() => appendFileSync(file, "y"), 0);
    onTestFinished(() => clearInterval(timer));
    expect(await outcome()).toEqual(refused("OL_BUNDLE_CHANGING"));
  });

  test("whose files are exchanged between two versions is copied as one of them", LONG, async () => {
    const files = Array.from({ length: 200 }, (_, i) => join(code, `m${i}.py`));
    let version = 0;
    const write = (): void => {
      version += 1;
      for (const file of files) writeFileSync(file, String(version));
    };
    write();
    // However slow the machine is, some of the copies must find the time they need.
    let pauseMs = 20;
    let timer: NodeJS.Timeout;
    const writeAgain = (): void => {
      write();
      timer = setTimeout(writeAgain, pauseMs);
    };
    writeAgain();
    onTestFinished(() => clearTimeout(timer));
    let copies = 0;
    const versions = new Set<string>();
    for (let i = 0; i < 20; i++) {
      const copy = `${target}-${i}`;
      const error = await codeOf(snapshotDirectory(code, copy));
      expect(["no error", "OL_BUNDLE_CHANGING"]).toContain(error);
      if (error !== "no error") {
        pauseMs *= 2;
        continue;
      }
      copies += 1;
      for (const file of files)
        versions.add(`${i}: ${readFileSync(join(copy, file.slice(code.length)), "utf8")}`);
    }
    // One version a copy.
    expect(versions.size).toBe(copies);
    expect(copies).toBeGreaterThan(0);
  });

  test("gives up when it is told to", async () => {
    for (let i = 0; i < 300; i++) writeFileSync(join(code, `x${i}`), "");
    const signal = AbortSignal.abort(new Error("enough"));
    await expect(snapshotDirectory(code, target, { signal })).rejects.toThrow("enough");
    expect(readdirSync(join(base, "copies"))).toEqual([]);
  });
});

/** Whether two looks at the code say the same. */
const settled = async (): Promise<boolean> =>
  (await fingerprintDirectory(code)) === (await fingerprintDirectory(code));

describe("a fingerprint", () => {
  test("is equal for unchanged code, once the time stamps can be trusted", async () => {
    const first = await fingerprintDirectory(code);
    await expect.poll(settled, { timeout: 3000 }).toBe(true);
    expect(first).toMatch(/^[0-9a-f]{64}$/u);
  });

  test("taken right after a change is not repeated later, since a second change might not show", async () => {
    writeFileSync(join(code, "f.py"), "v1");
    const first = await fingerprintDirectory(code);
    await expect.poll(settled, { timeout: 3000 }).toBe(true);
    expect(await fingerprintDirectory(code)).not.toBe(first);
  });

  test.each<[string, () => void]>([
    ["content of the same size", () => writeFileSync(join(code, "f.py"), "def f(event):\n    return 2\n")],
    ["a new file", () => writeFileSync(join(code, "new"), "")],
    ["a file less", () => rmSync(join(code, "f.py"))],
    ["a file in a directory", () => writeFileSync(join(code, "lib", "x"), "")],
  ])("differs after %s", async (_name, change) => {
    mkdirSync(join(code, "lib"));
    const first = await fingerprintDirectory(code);
    change();
    expect(await fingerprintDirectory(code)).not.toBe(first);
  });

  test("of a snapshot is the one of the state that was copied", async () => {
    await expect
      .poll(
        async () => {
          const fingerprint = await fingerprintDirectory(code);
          rmSync(target, { recursive: true, force: true });
          return (await snapshotDirectory(code, target)).fingerprint === fingerprint;
        },
        { timeout: 3000 },
      )
      .toBe(true);
  });

  test("of too many files is refused", async () => {
    for (let i = 0; i < 6; i++) writeFileSync(join(code, `x${i}`), "");
    const limits = { ...DEFAULT_BUNDLE_LIMITS, maxEntries: 5 };
    expect(await codeOf(fingerprintDirectory(code, { limits }))).toBe("OL_BUNDLE_TOO_LARGE");
  });

  test("does not look behind links", async () => {
    symlinkSync("/proc", join(code, "proc"));
    expect(await fingerprintDirectory(code)).toMatch(/^[0-9a-f]{64}$/u);
  });
});
