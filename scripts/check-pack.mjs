// Proves that what would be published works: packs every package, looks into the tarballs, has publint and
// arethetypeswrong judge them, installs them in an empty folder, imports what they export, starts what they start, and
// follows the examples of their READMEs. Leaves nothing behind.
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

import { checkPackage, createPackageFromTarballData } from "@arethetypeswrong/core";

import { installAll, packAll } from "./lib/packed.mjs";
import { tryExamples } from "./lib/try-examples.mjs";
import { isMain, report, repositoryRoot } from "./lib/workspace.mjs";

const run = promisify(execFile);
const commandTimeoutMs = 120_000;
const bin = (name) => join(repositoryRoot, "node_modules/.bin", name);

/** What a command that failed said: some tools explain themselves on standard output. */
const reasonOf = (error) => [error.message, error.stdout, error.stderr].filter(Boolean).join("\n").trim();

/** Runs a command; its failure is a problem and not an error. */
const attempt = async (what, command, args, options, expected = /(?:)/) => {
  try {
    const { stdout } = await run(command, args, { ...options, encoding: "utf8", timeout: commandTimeoutMs });
    return expected.test(stdout) ? [] : [`${what} printed: ${String(stdout).slice(0, 500)}`];
  } catch (error) {
    return [`${what} failed: ${reasonOf(error)}`];
  }
};

/** The manifest as it is published: only pnpm replaces `workspace:` and `catalog:`. */
const manifestIn = async (tarball) => (await run("tar", ["-xzOf", tarball, "package/package.json"])).stdout;

const filesNamed = (value) =>
  typeof value === "string" ? [value] : Object.values(value ?? {}).flatMap((inner) => filesNamed(inner));

/** What must not be in a tarball, and what must. */
const inspect = async ({ pkg, tarball }) => {
  const problems = [];
  const { stdout: listing } = await run("tar", ["-tzf", tarball]);
  const files = listing.trim().split("\n");
  for (const file of files)
    if (/\.tsbuildinfo$|__pycache__|\/test\/|\/src\/|\/node_modules\//.test(file))
      problems.push(`${pkg.name} would publish ${file}`);
  const text = await manifestIn(tarball);
  if (/"(workspace|catalog):/.test(text))
    problems.push(`${pkg.name}: its manifest still says workspace: or catalog:`);
  const { exports, bin: bins } = JSON.parse(text);
  const ofSource = new Set(Object.values(exports ?? {}).flatMap((entry) => entry["@ol/source"] ?? []));
  for (const entry of [...filesNamed(exports), ...filesNamed(bins)])
    if (!ofSource.has(entry) && !files.includes(join("package", entry)))
      problems.push(`${pkg.name} does not contain ${entry}`);
  return problems;
};

/** What other tools make of the manifest. */
const lint = ({ pkg, tarball }) => attempt(`publint of ${pkg.name}`, bin("publint"), [tarball, "--strict"]);

// Ours are modules, for resolution by Node and by bundlers.
const notForUs = new Set(["node10", "node16-cjs"]);

/** Whether the types say what the code is, however it is resolved. In this process: starting the compiler takes longest. */
const checkTypes = async ({ pkg, tarball }) => {
  const { types, problems = [] } = await checkPackage(
    createPackageFromTarballData(new Uint8Array(await readFile(tarball))),
  );
  if (types === false) return [`arethetypeswrong of ${pkg.name}: there are none`];
  return problems
    .filter(({ resolutionKind }) => !notForUs.has(resolutionKind))
    .map((problem) => `arethetypeswrong of ${pkg.name}: ${JSON.stringify(problem)}`);
};

const judge = async (packed) => {
  const problems = [];
  for (const one of packed)
    for (const check of [inspect, lint, checkTypes]) problems.push(...(await check(one)));
  return problems;
};

const importAll = (folder, packed) => {
  const names = packed.flatMap(({ pkg }) =>
    Object.keys(pkg.manifest.exports ?? {})
      .filter((path) => !path.endsWith(".json"))
      .map((path) => join(pkg.name, path)),
  );
  const script = `for (const name of ${JSON.stringify(names)}) {
    const found = Object.keys(await import(name));
    if (found.length === 0) throw new Error(name + " exports nothing");
  }`;
  return attempt("an import", "node", ["--input-type=module", "-e", script], { cwd: folder });
};

const startAll = async (folder, packed) => {
  const problems = [];
  for (const { pkg } of packed)
    for (const name of Object.keys(pkg.manifest.bin ?? {})) {
      const program = join(folder, "node_modules/.bin", name);
      problems.push(
        ...(await attempt(`${name} --help`, program, ["--help"], { cwd: folder }, new RegExp(name))),
      );
      const version = new RegExp(`^${pkg.manifest.version.replaceAll(".", "\\.")}$`, "m");
      problems.push(
        ...(await attempt(`${name} --version`, program, ["--version"], { cwd: folder }, version)),
      );
    }
  return problems;
};

const main = async () => {
  const scratch = await mkdtemp(join(tmpdir(), "ol-pack-"));
  try {
    const packed = await packAll(scratch);
    const folder = join(scratch, "consumer");
    const [problems] = await Promise.all([judge(packed), installAll(folder, packed)]);
    problems.push(...(await importAll(folder, packed)), ...(await startAll(folder, packed)));
    problems.push(...(await tryExamples(folder, packed)));
    report("pack", problems);
  } catch (error) {
    report("pack", [reasonOf(error)]);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
};

if (isMain(import.meta.url)) await main();
