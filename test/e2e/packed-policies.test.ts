import { execFile } from "node:child_process";
import { copyFile, mkdir, mkdtemp, readdir, readFile, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const PACKAGES = ["common", "bundle", "sandbox", "lambda", "balancer"];
const POLICIES = ["own-eviction", "own-balancing"];
/** Packages whose README has a program and what it prints. */
const READMES = ["sandbox", "lambda"];
const COMMAND_MS = 120_000;
/** npm has to fetch the balancer's libraries on a machine that has none of them yet. */
const INSTALL_MS = 300_000;

let folder: string;

/** The code blocks of a language in a README, at least one; "" is those without. */
const blocksOf = async (name: string, language: string): Promise<readonly string[]> => {
  const text = await readFile(join(ROOT, "packages", name, "README.md"), "utf8");
  // Closing fences look like blocks without a language: so all are read in turn.
  const blocks = [...text.matchAll(/^```(\w*)\n([^]*?)^```$/gmu)];
  const found = blocks.filter(([, its]) => its === language).map(([, , code = ""]) => code);
  if (found.length === 0)
    throw new Error(`the README of ${name} has no block of ${language || "plain text"}`);
  return found;
};

/** Writes the TypeScript of the READMEs into files: the first of each has its package's name. Returns their names. */
const writeReadmes = async (): Promise<readonly string[]> => {
  const files: string[] = [];
  for (const name of READMES) {
    for (const [at, code] of (await blocksOf(name, "ts")).entries()) {
      const file = at === 0 ? `${name}.ts` : `${name}-${at}.ts`;
      await writeFile(join(folder, file), code);
      files.push(file);
    }
  }
  return files;
};

const run = async (
  command: string,
  args: readonly string[],
  cwd: string,
  timeout = COMMAND_MS,
): Promise<string> => {
  try {
    return (await promisify(execFile)(command, args, { cwd, timeout })).stdout;
  } catch (error) {
    // The compiler explains itself on standard output.
    const { message, stdout = "" } = error as Error & { stdout?: string };
    throw new Error(`${message}\n${stdout}`, { cause: error });
  }
};

const pack = async (name: string): Promise<[string, string]> => {
  const target = join(folder, "tarballs", name);
  await mkdir(target, { recursive: true });
  const args = ["-y", "pnpm@10.34.8", "pack", "--pack-destination", target];
  await run("npx", args, join(ROOT, "packages", name));
  const [tarball = ""] = await readdir(target);
  return [`@ol/${name}`, `file:${join(target, tarball)}`];
};

const versionOf = async (dependency: string): Promise<string> => {
  const manifest = JSON.parse(await readFile(join(ROOT, "node_modules", dependency, "package.json"), "utf8"));
  return (manifest as { version: string }).version;
};

const COMPILER = {
  strict: true,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  skipLibCheck: false,
};

/** As a stranger would: an empty directory, the packages, and a compiler that is told to be strict. */
const install = async (): Promise<void> => {
  const own = Object.fromEntries(await Promise.all(PACKAGES.map((name) => pack(name))));
  const types = { "@types/node": await versionOf("@types/node") };
  const examples = await writeReadmes();
  const manifest = { private: true, type: "module", dependencies: { ...own, ...types }, overrides: own };
  await writeFile(join(folder, "package.json"), JSON.stringify(manifest));
  const options = {
    target: "ES2023",
    lib: ["ES2023", "ESNext.Disposable"],
    module: "NodeNext",
    types: ["node"],
  };
  const compilerOptions = { ...options, ...COMPILER, outDir: "out" };
  await writeFile(
    join(folder, "tsconfig.json"),
    JSON.stringify({ compilerOptions, files: [...POLICIES.map((name) => `${name}.ts`), ...examples] }),
  );
  for (const name of POLICIES)
    await copyFile(join(ROOT, "examples", `${name}.ts`), join(folder, `${name}.ts`));
  const quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
  await run("npm", ["install", "--prefer-offline", ...quiet], folder, INSTALL_MS);
};

const compile = (...args: readonly string[]): Promise<string> =>
  run(join(ROOT, "node_modules/.bin/tsc"), args, folder);

beforeAll(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), "ol-policies-")));
  await install();
  await compile("-p", ".");
}, INSTALL_MS + COMMAND_MS);

afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

describe("a policy of one's own, outside of the repository, from the packed packages", () => {
  it.each(POLICIES)("has less than 60 lines, of which none imports an internal: %s", async (name) => {
    const text = await readFile(join(folder, `${name}.ts`), "utf8");
    expect(text.trimEnd().split("\n").length).toBeLessThan(60);
    const imported = [...text.matchAll(/from "([^"]+)"/gu)].map(([, from]) => from);
    expect(imported.length).toBeGreaterThan(0);
    for (const from of imported)
      expect(["node:crypto", "@ol/sandbox", "@ol/sandbox/testing", "@ol/balancer"]).toContain(from);
  });

  it("decides which sandboxes go, and keeps the one that is dear where LRU does not", async () => {
    const out = JSON.parse(await run(process.execPath, ["out/own-eviction.js"], folder));
    expect(out.madeByHyperbolic).toBeGreaterThan(0);
    expect(out.madeByHyperbolic).toBeLessThan(out.madeByLru);
  });

  it("decides which worker gets a call", async () => {
    const placed = JSON.parse(await run(process.execPath, ["out/own-balancing.js"], folder));
    expect(Object.values(placed).map((counts) => Object.values(counts as object))).toEqual([
      [8, 8],
      [8, 8],
    ]);
  });

  it("is refused by the compiler if it answers with something else than ids", async () => {
    const text =
      'import type { Evictor } from "@ol/sandbox";\nexport const wrong: Evictor = ({ sandboxes }) => sandboxes;\n';
    await writeFile(join(folder, "wrong.ts"), text);
    const options = ["--strict", "--noEmit", "--target", "ES2023", "--module", "NodeNext", "--types", "node"];
    await expect(compile(...options, "wrong.ts", "--ignoreConfig")).rejects.toThrow(/wrong\.ts.*TS2322/);
  });
});

describe("the example in a library's README", () => {
  it.each(READMES)("compiles strictly, runs, and prints what the README says: %s", async (name) => {
    expect(await run(process.execPath, [`out/${name}.js`], folder)).toBe((await blocksOf(name, ""))[0]);
  });
});
