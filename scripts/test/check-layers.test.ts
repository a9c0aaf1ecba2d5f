import { mkdir, mkdtemp, readFile, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { checkLayers } from "../check-layers.mjs";
import { importsOf, packageOf } from "../lib/imports.mjs";

let root = "";

const write = async (file: string, content: unknown): Promise<void> => {
  const path = join(root, file);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, typeof content === "string" ? content : JSON.stringify(content));
};

const writePackage = async (path: string, name: string, dependencies: Record<string, string> = {}) => {
  await write(`${path}/package.json`, { name, dependencies, exports: { ".": "./dist/index.js" } });
  await write(`${path}/tsconfig.json`, {
    references: Object.keys(dependencies)
      .filter((key) => key.startsWith("@ol/"))
      .map((key) => ({ path: `../${key.slice(4)}` })),
  });
};

beforeEach(async () => {
  root = await realpath(await mkdtemp(join(tmpdir(), "ol-layers-")));
  await writePackage("packages/common", "@ol/common");
  await writePackage("packages/sandbox", "@ol/sandbox", { "@ol/common": "workspace:^" });
  await write("packages/sandbox/src/index.ts", 'import { OlError } from "@ol/common";\n');
  await write("tsconfig.json", {
    references: [{ path: "packages/common" }, { path: "packages/sandbox" }],
  });
});

afterEach(() => rm(root, { recursive: true }));

describe("check-layers", () => {
  it("finds nothing in a workspace whose imports go downward", async () => {
    expect(await checkLayers(root)).toEqual([]);
  });

  it("refuses an import that goes upward", async () => {
    await write("packages/common/src/a.ts", 'export { x } from "@ol/sandbox";\n');
    expect(await checkLayers(root)).toEqual([
      "packages/common/src/a.ts: imports @ol/sandbox, which is not below @ol/common",
      "packages/common/src/a.ts: imports @ol/sandbox, which package.json does not name",
    ]);
  });

  it("refuses an upward dependency and an upward project reference", async () => {
    await writePackage("packages/common", "@ol/common", { "@ol/sandbox": "workspace:^" });
    const problems = await checkLayers(root);
    expect(problems).toContain(
      "packages/common/package.json: dependencies names @ol/sandbox, which is not below @ol/common",
    );
    expect(problems).toContain("packages/common/tsconfig.json: refers to @ol/sandbox, not below @ol/common");
  });

  it("refuses a library that belongs to another package", async () => {
    await write("packages/sandbox/src/log.ts", 'import { format } from "winston";\n');
    expect(await checkLayers(root)).toEqual([
      "packages/sandbox/src/log.ts: imports winston: winston belongs to @ol/config; take plain options instead",
    ]);
  });

  it("lets tests use such a library, as a devDependency, and nothing else", async () => {
    const file = "packages/sandbox/package.json";
    const manifest = JSON.parse(await readFile(join(root, file), "utf8")) as Record<string, unknown>;
    await write(file, JSON.stringify({ ...manifest, devDependencies: { minio: "1.0.0" } }));
    await write("packages/sandbox/test/unit/client.test.ts", 'import { Client } from "minio";\n');
    expect(await checkLayers(root)).toEqual([]);
    await write("packages/sandbox/src/client.ts", 'import { Client } from "minio";\n');
    expect(await checkLayers(root)).toEqual([
      "packages/sandbox/src/client.ts: imports minio: minio belongs to @ol/registry-client; take plain options instead",
    ]);
  });

  it("refuses a path into another package, by name or by dots", async () => {
    await write(
      "packages/sandbox/src/a.ts",
      'import "@ol/common/src/errors.ts";\nconst b = await import("../../common/src/b.ts");\n',
    );
    expect(await checkLayers(root)).toEqual([
      "packages/sandbox/src/a.ts: imports @ol/common/src/errors.ts, which @ol/common does not export",
      "packages/sandbox/src/a.ts: imports ../../common/src/b.ts, which is outside of its package",
    ]);
  });

  it("refuses a package that has no place in the table, or that the root does not build", async () => {
    await writePackage("packages/stray", "@ol/stray");
    await writePackage("packages/bundle", "@ol/bundle");
    expect(await checkLayers(root)).toEqual([
      "tsconfig.json: lacks a reference to packages/bundle",
      "packages/stray: @ol/stray has no place in scripts/lib/layers.mjs",
    ]);
  });
});

describe("importsOf", () => {
  it("reads static, dynamic, type and side-effect imports, also over several lines", () => {
    const source = [
      'import a, {\n  b,\n} from "one";',
      'import type { C } from "two/deep";',
      'import "three";',
      'export * from "four";',
      'const five = await import("five");',
    ].join("\n");
    expect(new Set(importsOf(source))).toEqual(new Set(["one", "two/deep", "three", "four", "five"]));
  });

  it("does not count what stands in a comment", () => {
    expect(importsOf('// import "a";\n/* import "b";\n import "c"; */\nimport "https://d";')).toEqual([
      "https://d",
    ]);
  });

  it("names the package of a module, and none for relative and built-in ones", () => {
    expect(["@ol/common/x", "yargs/helpers", "./a.ts", "node:fs"].map(packageOf)).toEqual([
      "@ol/common",
      "yargs",
      undefined,
      undefined,
    ]);
  });
});
