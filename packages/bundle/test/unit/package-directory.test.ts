import { describe, expect, test } from "vitest";

import { packageDirectory, parsePackageDirectory, type Pin } from "../../src/index.ts";

const pin = (name: string, version: string, ...hashes: readonly string[]): Pin => ({
  name,
  version,
  hashes: hashes.length === 0 ? ["a".repeat(64)] : hashes,
  requires: [],
});

describe("a package's directory", () => {
  test("is named by name, version and the digest of its hashes", () => {
    // printf %s aaa...a | sha256sum
    expect(packageDirectory(pin("scikit-learn", "1.3.0"))).toBe("scikit-learn-1.3.0-ffe054fe7ae0");
  });

  test("is another one for every pin", () => {
    const pins = [
      pin("a", "1.0"),
      pin("a", "1.0", "b".repeat(64)),
      pin("a", "1.0", "a".repeat(64), "b".repeat(64)),
      pin("a-1", "0"),
      pin("a", "1!0"),
      pin("a", "1+0"),
      pin("a", "1.0+cpu"),
    ];
    expect(new Set(pins.map(packageDirectory)).size).toBe(pins.length);
  });

  test.each([
    ["a", "1.0", "1.0"],
    ["scikit-learn", "1.3.0rc1.post2.dev3", "1.3.0rc1.post2.dev3"],
    ["a-1", "2!1.0+ubuntu.1", "2_1.0_ubuntu.1"],
    ["1-2-3", "4", "4"],
  ])("of %s %s can be taken apart", (name, version, spelled) => {
    const directory = packageDirectory(pin(name, version));
    expect(directory).toMatch(/^[A-Za-z0-9._-]{1,255}$/u);
    expect(parsePackageDirectory(directory)).toEqual({ name, version: spelled, hash: directory.slice(-12) });
  });

  test("fits into a file name at its longest", () => {
    expect(packageDirectory(pin("x".repeat(128), "1".repeat(100))).length).toBeLessThan(250);
  });

  test.each([
    "",
    ".",
    "a",
    "a-1.0",
    "a-1.0-ffe054fe7ae",
    "A-1.0-ffe054fe7ae0",
    "a--1.0-ffe054fe7ae0",
    "../a-1.0-ffe054fe7ae0",
    "a-1.0-ffe054fe7ae0.tmp",
    "a-1.0-ffe054fe7ae0\n",
  ])("is not called %j", (directory) => {
    expect(parsePackageDirectory(directory)).toBeUndefined();
  });

  test.each([
    pin("../a", "1.0"),
    pin("a/b", "1.0"),
    pin("a", "1.0/.."),
    pin("", "1.0"),
    pin("a", "1.0", "x"),
  ])("is not made for what is no pin: %j", (bad) => {
    expect(() => packageDirectory(bad)).toThrowError(
      expect.objectContaining({ code: "OL_BUNDLE_BAD_LOCK" }) as Error,
    );
  });
});
