import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { beforeEach, describe, expect, test } from "vitest";

import { admin, newCluster, type Outcome } from "../support/harness.ts";

let cwd: string;
let registry: string;

beforeEach(async () => {
  const made = await newCluster();
  cwd = made.cwd;
  registry = join(made.cluster, "registry");
  mkdirSync(join(cwd, "hello"));
  writeFileSync(join(cwd, "hello", "f.py"), "def f(event):\n    return 1\n");
});

const upload = (...tokens: string[]): Promise<Outcome> => admin(["upload", ...tokens], { cwd });

describe("upload to a registry that is a directory", () => {
  test("puts the code there as a whole, and says so", async () => {
    const outcome = await upload("--handler=hello", "--file=hello");
    expect(outcome).toMatchObject({ code: 0, stdout: "hello\n" });
    expect(outcome.stderr).toMatch(
      /^1 file, .* packed; workers that know older code see this one within registry_cache_ms\n$/u,
    );
    expect(readFileSync(join(registry, "hello", "f.py"), "utf8")).toContain("return 1");
    expect(statSync(join(registry, "hello")).mode & 0o777).toBe(0o755);
    expect(readdirSync(registry)).toEqual(["hello"]);
  });

  test("takes the place of what was there, packed or not", async () => {
    mkdirSync(join(registry, "hello"));
    writeFileSync(join(registry, "hello", "old.py"), "");
    writeFileSync(join(registry, "hello.tar.gz"), "");
    execFileSync("tar", ["-czf", join(cwd, "hello.tar.gz"), "-C", join(cwd, "hello"), "."]);
    expect(await upload("--handler=hello", "--file=hello.tar.gz")).toMatchObject({ code: 0 });
    expect(readdirSync(registry)).toEqual(["hello"]);
    expect(readdirSync(join(registry, "hello"))).toEqual(["f.py"]);
  });

  test("changes nothing if it was to create only and there is one, packed or not", async () => {
    expect(await upload("--handler=hello", "--file=hello", "--create-only")).toMatchObject({ code: 0 });
    writeFileSync(join(registry, "packed.tar.gz"), "");
    for (const name of ["hello", "packed"]) {
      const outcome = await upload(`--handler=${name}`, "--file=hello", "--create-only");
      expect(outcome).toMatchObject({ code: 1, stdout: "" });
      expect(outcome.stderr).toMatch(/^there is a lambda \w+ in .* already; nothing was changed\n$/u);
    }
    expect(readdirSync(registry).sort()).toEqual(["hello", "packed.tar.gz"]);
  });

  test.each([
    [["--tag=v1"], /has no versions: leave out --tag, or start a registry with: npx ol-admin registry$/mu],
    [["--keep=3"], /leave out --keep/u],
  ])("with %j is refused, since it has no versions", async (options, message) => {
    const outcome = await upload("--handler=hello", "--file=hello", ...options);
    expect(outcome).toMatchObject({ code: 1, stdout: "" });
    expect(outcome.stderr).toMatch(message);
    expect(readdirSync(registry)).toEqual([]);
  });

  test("refuses bad code with its file and line, and puts nothing there", async () => {
    writeFileSync(join(cwd, "hello", "ol.yaml"), "\nlimts: {}\n");
    const outcome = await upload("--handler=hello", "--file=hello");
    expect(outcome).toMatchObject({ code: 1, stdout: "" });
    expect(outcome.stderr).toMatch(/^ol\.yaml:2: limts: is not a known key; did you mean "limits"\?\n$/u);
    expect(readdirSync(registry)).toEqual([]);
  });

  test.each([
    [[], /needs --file/u],
    [["--file=hello"], /needs --handler=NAME/u],
    [["--file=hello", "--handler=../x"], /may hold only letters/u],
    [["--file=hello", `--handler=hello@sha256:${"0".repeat(64)}`], /its digest comes of its code/u],
    [["--file=hello", "--handler=hello@v1", "--tag=v2"], /--tag another one/u],
    [["--file=hello", "--handler=hello", "--keep=0"], /--keep must be a whole number from 1 to 100/u],
    [["--file=hello", "--handler=hello", "--sign=nowhere.pem"], /--sign: .* cannot be read/u],
    [["--file=hello", "--handler=hello", "--access-key=abc"], /go together/u],
    [["--file=http://host/a.git", "--handler=hello"], /is no address that code is taken from/u],
  ])("%j is wrong usage", async (tokens, message) => {
    const outcome = await upload(...tokens);
    expect(outcome).toMatchObject({ code: 2, stdout: "" });
    expect(outcome.stderr).toMatch(message);
  });
});

describe("a registry that is a directory", () => {
  test("lists packed lambdas too, and says which are not used", async () => {
    await upload("--handler=hello", "--file=hello");
    for (const name of ["hello.tar.gz", "packed.tar.gz", "bad name.tar.gz"])
      writeFileSync(join(registry, name), "");
    const outcome = await admin(["list"], { cwd });
    expect(outcome.code).toBe(0);
    expect(outcome.stdout).toMatch(/^hello {3}f\.py {11}\S+\npacked {2}packed\.tar\.gz {2}\S+\n$/u);
    expect(outcome.stderr).toContain(
      "hello.tar.gz in the registry is not used, since there is a directory hello\n",
    );
    expect(outcome.stderr).toContain('"bad name.tar.gz" in the registry is no lambda');
  });

  test("has a packed lambda removed, and a directory with what it hid", async () => {
    await upload("--handler=hello", "--file=hello");
    for (const name of ["hello.tar.gz", "packed.tar.gz"]) writeFileSync(join(registry, name), "");
    expect(await admin(["remove", "packed"], { cwd })).toMatchObject({ code: 0 });
    expect(readdirSync(registry).sort()).toEqual(["hello", "hello.tar.gz"]);
    expect(await admin(["remove", "hello"], { cwd })).toMatchObject({ code: 0 });
    expect(readdirSync(registry)).toEqual([]);
  });

  test.each([
    ["rollback", "hello"],
    ["list", "--versions=hello"],
    ["remove", "hello@v1"],
  ])("has no versions: %s %s says what to do", async (...tokens) => {
    await upload("--handler=hello", "--file=hello");
    const outcome = await admin(tokens, { cwd });
    expect(outcome).toMatchObject({ code: 1, stdout: "" });
    expect(outcome.stderr).toContain("is a directory, which has no versions");
    expect(existsSync(join(registry, "hello"))).toBe(true);
  });
});
