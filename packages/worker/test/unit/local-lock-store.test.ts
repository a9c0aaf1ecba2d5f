import { mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type { Lock } from "@ol/bundle";
import { describe, expect, it, onTestFinished } from "vitest";

import { LocalLockStore } from "../../src/local-lock-store.ts";

const HASH = "a".repeat(64);
const KEY = { lambda: "one", digest: "sha256:0123", python: "3.11", machine: "x86_64" };

const lock = (version: string, requirements = HASH): Lock => ({
  python: "3.11",
  machine: "x86_64",
  requirements,
  pins: [{ name: "numpy", version, hashes: [HASH], requires: [] }],
});

const registry = (): string => {
  const directory = mkdtempSync(join(tmpdir(), "ol-locks-"));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  mkdirSync(join(directory, "one"));
  return directory;
};

const filesOf = (directory: string): string[] => readdirSync(join(directory, ".locks/one"));

describe("locks beside a local registry", () => {
  it("are what was written first, for each version of the code, Python and machine", async () => {
    const directory = registry();
    const store = new LocalLockStore(directory);
    expect(await store.read(KEY)).toBeUndefined();
    expect(await store.write(KEY, lock("1.0"))).toEqual(lock("1.0"));
    expect(await new LocalLockStore(directory).write(KEY, lock("2.0"))).toEqual(lock("1.0"));
    expect(await store.read(KEY)).toEqual(lock("1.0"));
    await store.write({ ...KEY, python: "3.12" }, { ...lock("2.0"), python: "3.12" });
    expect(filesOf(directory).sort()).toEqual(["sha256-0123-3.11-x86_64.txt", "sha256-0123-3.12-x86_64.txt"]);
  });

  it("give way to a new one where they are damaged, or of other requirements", async () => {
    const directory = registry();
    const store = new LocalLockStore(directory);
    await store.write(KEY, lock("1.0"));
    const [name = ""] = filesOf(directory);
    writeFileSync(join(directory, ".locks/one", name), "nonsense");
    await expect(store.read(KEY)).rejects.toMatchObject({ code: "OL_BUNDLE_BAD_LOCK" });
    expect(await store.write(KEY, lock("2.0"))).toEqual(lock("2.0"));
    expect(await store.write(KEY, lock("3.0", "b".repeat(64)))).toEqual(lock("3.0", "b".repeat(64)));
    expect(await store.read(KEY)).toEqual(lock("3.0", "b".repeat(64)));
    expect(filesOf(directory)).toHaveLength(1);
  });

  it("of one lambda are kept for its last twenty versions", async () => {
    const directory = registry();
    const store = new LocalLockStore(directory);
    for (let at = 0; at < 22; at += 1) {
      await store.write({ ...KEY, digest: `d${at}` }, lock("1.0"));
      const when = new Date(1_700_000_000_000 + at * 1_000);
      utimesSync(join(directory, ".locks/one", `d${at}-3.11-x86_64.txt`), when, when);
    }
    await store.write({ ...KEY, digest: "last" }, lock("1.0"));
    expect(filesOf(directory)).toHaveLength(20);
    expect(await store.read({ ...KEY, digest: "last" })).toBeDefined();
    expect(await store.read({ ...KEY, digest: "d0" })).toBeUndefined();
  });

  it("are all listed, but for those of lambdas that are gone, which are removed, and those that cannot be read", async () => {
    const directory = registry();
    mkdirSync(join(directory, "two"));
    const store = new LocalLockStore(directory);
    writeFileSync(join(directory, "packed.tar.gz"), "");
    for (const lambda of ["one", "two", "packed", "gone"]) await store.write({ ...KEY, lambda }, lock("1.0"));
    writeFileSync(join(directory, ".locks/two/bad.txt"), "nonsense");
    const unreadable: string[] = [];
    const all = async (dryRun: boolean): Promise<string[]> =>
      (await store.all(dryRun, (file) => unreadable.push(file))).map(({ lambda }) => lambda).sort();
    expect(await all(true)).toEqual(["one", "packed", "two"]);
    expect(readdirSync(join(directory, ".locks"))).toContain("gone");
    expect(await all(false)).toEqual(["one", "packed", "two"]);
    expect(readdirSync(join(directory, ".locks")).sort()).toEqual(["one", "packed", "two"]);
    expect(unreadable).toEqual(["two/bad.txt", "two/bad.txt"]);
  });
});
