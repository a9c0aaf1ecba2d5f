import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { packageDirectory, type Pin } from "@ol/bundle";
import { silentLogger } from "@ol/common";
import { describe, expect, it, onTestFinished } from "vitest";

import { collectGarbage, listPackages } from "../../src/packages/package-garbage.ts";
import { PackageShelf } from "../../src/packages/package-shelf.ts";

const DAY_MS = 86_400_000;
const PYTHON = "3.11-x86_64";

const pin = (name: string): Pin => ({
  name,
  version: "1.0",
  hashes: [createHash("sha256").update(name).digest("hex")],
  requires: [],
});
const directory = (name: string): string => `${PYTHON}/${packageDirectory(pin(name))}`;

const shelfWith = (
  packages: Readonly<Record<string, number>>,
): { shelf: PackageShelf; names: () => string[] } => {
  const packagesDir = mkdtempSync(join(tmpdir(), "ol-garbage-"));
  onTestFinished(() => rmSync(packagesDir, { recursive: true, force: true }));
  for (const [name, days] of Object.entries(packages)) {
    const place = join(packagesDir, directory(name));
    mkdirSync(join(place, "below"), { recursive: true });
    writeFileSync(join(place, "below/a.py"), "12345");
    const then = new Date(Date.now() - days * DAY_MS);
    utimesSync(place, then, then);
  }
  return {
    shelf: new PackageShelf({ packagesDir, logger: silentLogger }),
    names: () => readdirSync(join(packagesDir, PYTHON)).sort(),
  };
};

const locksOf = (lambda: string, ...names: string[]) => [
  { lambda, lock: { python: "3.11", machine: "x86_64", requirements: "a".repeat(64), pins: names.map(pin) } },
];

describe("the garbage among packages", () => {
  it("is what no lock names and nobody used for that long", async () => {
    const { shelf, names } = shelfWith({ old: 40, locked: 40, young: 5 });
    const locks = locksOf("lambda", "locked");
    const options = { olderThanMs: 30 * DAY_MS, dryRun: true };
    const dry = await collectGarbage(shelf, locks, options);
    expect(dry).toMatchObject({ removed: [{ name: "old", bytes: 5, lambdas: [] }], bytes: 5, kept: 2 });
    expect(names()).toHaveLength(3);
    expect(await collectGarbage(shelf, locks, { ...options, dryRun: false })).toEqual(dry);
    expect((await listPackages(shelf, locks)).map(({ name, lambdas }) => [name, lambdas])).toEqual([
      ["locked", ["lambda"]],
      ["young", []],
    ]);
  });

  it("is not what somebody is adding to, or began to use before it was removed", async () => {
    const { shelf, names } = shelfWith({ old: 40, used: 40 });
    await using claim = await shelf.claim(directory("old"));
    expect(claim).toBeDefined();
    expect(await shelf.noteUse(directory("used"))).toBe(true);
    const { removed } = await collectGarbage(shelf, [], { olderThanMs: DAY_MS, dryRun: false });
    expect(removed).toEqual([]);
    expect(names()).toHaveLength(2);
    await claim?.release();
    await collectGarbage(shelf, [], { olderThanMs: DAY_MS, dryRun: false });
    expect(names()).toHaveLength(1);
    expect(await shelf.noteUse(directory("old"))).toBe(false);
  });

  it("where there are no packages yet is nothing", async () => {
    const shelf = new PackageShelf({ packagesDir: "/nowhere/at/all", logger: silentLogger });
    expect(await listPackages(shelf, [])).toEqual([]);
  });
});
