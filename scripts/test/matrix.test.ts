import { spawnSync } from "node:child_process";

import { describe, expect, it } from "vitest";

import { findPythons, isSupported } from "../lib/interpreters.mjs";
import { combinations, tableOf } from "../lib/matrix.mjs";
import { hiddenBy } from "../lib/ordinary-user.mjs";

const nodes = [
  { version: "20.1.0", path: "/n20/node" },
  { version: "22.1.0", path: "/n22/node" },
];
const pythons = [
  { version: "3.9.1", path: "/home/me/python3.9" },
  { version: "3.13.1", path: "/usr/bin/python3.13" },
];
const users = [{ name: "root" }, { name: "ordinary user" }];

interface Combination {
  readonly node: { readonly version: string };
  readonly python: { readonly version: string };
  readonly user: { readonly name: string };
  readonly tests: readonly string[];
  readonly unittest: boolean;
}

describe("every Node and Python", () => {
  it("are combined with each other and with each user", () => {
    const all: readonly Combination[] = combinations(nodes, pythons, users);
    const names = all.map(({ node, python, user }) => `${node.version} ${python.version} ${user.name}`);
    expect(new Set(names).size).toBe(8);
    expect(names).toContain("22.1.0 3.13.1 ordinary user");
  });

  it("all pass the conformance suite; what has no Python in it runs once for each Node", () => {
    const all: readonly Combination[] = combinations(nodes, pythons, users);
    const running = (test: string): number =>
      all.filter(({ tests }) => tests.some((one) => one.includes(test))).length;
    expect(running("sock-conformance")).toBe(8);
    expect(running("/test/unit/")).toBe(nodes.length);
    expect(running("e2e/http")).toBe(pythons.length * users.length);
    expect(running("security-probes")).toBe(pythons.length * users.length);
    expect(all.filter(({ unittest }) => unittest).length).toBe(pythons.length);
  });

  it("are one line each of a table, in which what was skipped is not hidden", () => {
    const counts = { passed: 7, failed: 1, skipped: 2 };
    const row = { node: nodes[0], python: pythons[1], user: "root", counts, seconds: 12 };
    expect(tableOf([row]).split("\n").at(-1)).toBe("| 20.1.0 | 3.13.1 (the system's) | root | 7 | 3 | 12 |");
  });
});

describe("the Pythons of this machine", () => {
  it("are those of 3.9 and newer, each once", async () => {
    const { pythons: found } = await findPythons();
    const paths = found.map(({ path }: { path: string }) => path);
    expect(new Set(paths).size).toBe(paths.length);
    const probe = "import os, sys; print(os.path.realpath(getattr(sys, '_base_executable', sys.executable)))";
    const first = spawnSync("python3", ["-I", "-S", "-c", probe], { encoding: "utf8" }).stdout.trim();
    expect(paths).toContain(first);
    for (const { version } of found) expect(isSupported(version)).toBe(true);
  });

  it.each([
    ["3.9.0", true],
    ["3.10.1", true],
    ["4.0.0", true],
    ["3.8.18", false],
    ["2.7.18", false],
  ])("of version %s are used: %s", (version, used) => {
    expect(isSupported(version)).toBe(used);
  });
});

const isOpen = (directory: string): boolean => directory !== "/root" && directory !== "/root/deep";

describe("what an ordinary user cannot reach", () => {
  it("is hidden by the outermost closed directory on its way", () => {
    expect(hiddenBy("/root/deep/python3", isOpen)).toBe("/root");
    expect(hiddenBy("/usr/bin", isOpen)).toBeUndefined();
  });
});
