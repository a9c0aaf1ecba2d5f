import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

import { isOlError } from "@ol/common";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { HOSTILE_BUNDLES } from "@ol/bundle/testing";
import { makeCodeBundle } from "../../src/code/code-bundle.ts";
import { temporaryDirectory } from "../support/harness.ts";

/** Git is some processes each time, and the machine may be busy. */
const LONG = { timeout: 60_000 };

let cwd: string;
let code: string;

const write = (path: string, content = ""): void => {
  mkdirSync(dirname(join(code, path)), { recursive: true });
  writeFileSync(join(code, path), content);
};

const git = (...words: string[]): string =>
  execFileSync("git", ["-C", code, "-c", "user.name=a", "-c", "user.email=a@example.org", ...words], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
  }).trim();

/** In the temporary directory, which is each test's own: others upload as well. */
const leftovers = (): string[] => readdirSync(tmpdir());

const make = (given: string, environment: Record<string, string> = {}): ReturnType<typeof makeCodeBundle> =>
  makeCodeBundle(given, {
    cwd,
    environment: { PATH: process.env["PATH"], HOME: cwd, ...environment },
    signal: new AbortController().signal,
  });

/** The digest and the files of a bundle, or `CODE: message`. */
const outcome = async (given: string): Promise<{ digest: string; files: string[] } | string> => {
  try {
    await using bundle = await make(given);
    const files = execFileSync("tar", ["-tzf", bundle.file], { encoding: "utf8" }).trim().split("\n");
    return { digest: bundle.digest, files };
  } catch (error) {
    if (!isOlError(error)) throw error;
    return `${error.code}: ${error.message}`;
  }
};

afterEach(() => {
  vi.unstubAllEnvs();
});

beforeEach(() => {
  cwd = temporaryDirectory();
  code = join(cwd, "code");
  mkdirSync(join(cwd, "tmp"));
  vi.stubEnv("TMPDIR", join(cwd, "tmp"));
  write("f.py", "def f(event):\n    return 1\n");
});

describe("code to upload", () => {
  test("is the same bundle whether it is a directory, a tar file, or a git repository", LONG, async () => {
    write("lib/a.py", "x = 1\n");
    const fromDirectory = await outcome("code");
    expect(fromDirectory).toMatchObject({ files: ["f.py", "lib/", "lib/a.py"] });
    execFileSync("tar", ["-czf", join(cwd, "a.tar.gz"), "--owner=somebody", "-C", code, "."]);
    expect(await outcome("a.tar.gz")).toEqual(fromDirectory);
    git("init");
    git("add", ".");
    git("commit", "-m", "first");
    expect(await outcome(`file://${code}`)).toEqual(fromDirectory);
    expect(await outcome("code")).toEqual(fromDirectory);
  });

  test("of a git repository is that of a branch, a tag, a commit, or a directory of it", LONG, async () => {
    git("init", "-b", "main");
    git("add", ".");
    git("commit", "-m", "first");
    git("tag", "v1");
    const first = git("rev-parse", "HEAD");
    write("hello/f.py", "2");
    write("README", "");
    git("checkout", "-b", "feature/x");
    git("add", ".");
    git("commit", "-m", "second");
    const url = `file://${code}`;
    const whole = ["README", "f.py", "hello/", "hello/f.py"];
    expect(await outcome(`${url}#v1`)).toMatchObject({ files: ["f.py"] });
    expect(await outcome(`${url}#${first}`)).toMatchObject({ files: ["f.py"] });
    expect(await outcome(`${url}#main`)).toMatchObject({ files: ["f.py"] });
    expect(await outcome(`${url}#feature/x`)).toMatchObject({ files: whole });
    expect(await outcome(url)).toMatchObject({ files: whole });
    expect(await outcome(`${url}#feature/x:hello`)).toMatchObject({ files: ["f.py"] });
    expect(await outcome(`${url}#v1:hello`)).toMatch(
      /^OL_ADMIN_BUNDLE: .*there is no directory "hello" in it$/u,
    );
    expect(await outcome(`${url}#nowhere`)).toMatch(/^OL_ADMIN_BUNDLE: cannot get .*nowhere/u);
    expect(await outcome(`file://${cwd}/missing`)).toMatch(/^OL_ADMIN_BUNDLE: cannot get /u);
  });

  test("of a git repository runs nothing of it, and leaves through no link of it", LONG, async () => {
    const witness = join(cwd, "witness");
    git("init");
    mkdirSync(join(code, ".git", "hooks"), { recursive: true });
    for (const hook of ["post-checkout", "pre-commit", "post-index-change", "reference-transaction"])
      writeFileSync(join(code, ".git", "hooks", hook), `#!/bin/sh\ntouch ${witness}\n`, { mode: 0o755 });
    symlinkSync(cwd, join(code, "out"));
    write(".gitmodules", `[submodule "s"]\n\tpath = s\n\turl = ext::touch ${witness}\n`);
    write(".gitattributes", "*.py filter=evil\n");
    git("-c", "core.hooksPath=/dev/null", "add", ".");
    git("-c", "core.hooksPath=/dev/null", "commit", "-m", "first");
    expect(await outcome(`file://${code}`)).toMatch(/^OL_BUNDLE_UNSAFE_FILE: "out" .* leads out of it/u);
    expect(await outcome(`file://${code}#HEAD:out`)).toMatch(
      /^OL_ADMIN_BUNDLE: .* is a link that leads out of it$/u,
    );
    expect(existsSync(witness)).toBe(false);
  });

  test("of a git repository is the same when ol-admin runs in another one's hook", LONG, async () => {
    git("init");
    git("add", ".");
    git("commit", "-m", "first");
    const other = temporaryDirectory();
    execFileSync("git", ["init", other], { stdio: "ignore" });
    const environment = {
      GIT_DIR: join(other, ".git"),
      GIT_WORK_TREE: other,
      GIT_INDEX_FILE: join(other, "i"),
    };
    await using bundle = await make(`file://${code}`, environment);
    expect(bundle.entries).toBe(1);
    expect(readdirSync(other)).toEqual([".git"]);
  });

  test("leaves out compiled files and repositories, wherever they are", async () => {
    for (const path of [
      ".git/config",
      "__pycache__/f.pyc",
      "lib/__pycache__/a.pyc",
      "lib/a.py",
      ".DS_Store",
      ".env",
    ])
      write(path);
    expect(await outcome("code")).toMatchObject({ files: [".env", "f.py", "lib/", "lib/a.py"] });
  });

  test("is unpacked beside its bundle, and all of it is gone afterwards", async () => {
    {
      await using bundle = await make("code");
      expect(readFileSync(join(bundle.directory, "f.py"), "utf8")).toContain("return 1");
      expect(bundle).toMatchObject({ entry: "f.py", entries: 1 });
      expect(leftovers()).toHaveLength(1);
    }
    expect(leftovers()).toEqual([]);
  });

  test.each<[string, () => string, RegExp]>([
    ["that is not there", () => "nowhere", /^OL_ADMIN_USAGE: --file: there is no file or directory/u],
    [
      "that is a device",
      () => "/dev/null",
      /^OL_ADMIN_USAGE: --file: .* is neither a directory nor a \.tar\.gz$/u,
    ],
    ["without a handler", () => (rmSync(join(code, "f.py")), "code"), /^OL_BUNDLE_NO_HANDLER: /u],
    [
      "with a mistake in ol.yaml",
      () => (write("ol.yaml", "x: 1\n"), "code"),
      /^OL_BUNDLE_BAD_CONFIG: ol\.yaml:1: /u,
    ],
    [
      "with a bad requirement",
      () => (write("packages.txt", "-e .\n"), "code"),
      /^OL_BUNDLE_BAD_REQUIREMENTS: packages\.txt:1: /u,
    ],
    ["with a link out", () => (symlinkSync("/etc", join(code, "a")), "code"), /^OL_BUNDLE_UNSAFE_FILE: /u],
    [
      "that is a Python file",
      () => "code/f.py",
      /^OL_BUNDLE_BAD_ARCHIVE: the bundle is not compressed by gzip/u,
    ],
  ])("%s is refused, and nothing stays", async (_name, given, message) => {
    expect(await outcome(given())).toMatch(message);
    expect(leftovers()).toEqual([]);
  });

  test.each(HOSTILE_BUNDLES.map((one) => [one.name, one] as const))(
    "packed with %s is refused",
    LONG,
    async (_name, bundle) => {
      writeFileSync(join(cwd, "bad.tar.gz"), bundle.packed);
      const said = await outcome("bad.tar.gz");
      expect(typeof said === "string" ? said.split(":", 1)[0] : "taken").toBe(bundle.code);
    },
  );
});
