// Proves that what would be published works: packs every package, installs the tarballs in an empty folder
// with npm, runs `npx ol-admin --help` and imports @ol/sandbox. Leaves nothing behind.
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

import { isMain, listPackages, report } from "./lib/workspace.mjs";

const run = promisify(execFile);
const PNPM = ["-y", "pnpm@10.34.8"];
// npm has to fetch the libraries on a machine that has none of them yet.
const installTimeoutMs = 300_000;
const commandTimeoutMs = 60_000;

/** What a command that failed said: some tools explain themselves on standard output. */
const reasonOf = (error) => [error.message, error.stdout, error.stderr].filter(Boolean).join("\n").trim();

/** Packs one package into `target`; returns the tarball's path. */
const pack = async (pkg, target) => {
  await mkdir(target);
  await run("npx", [...PNPM, "pack", "--pack-destination", target], {
    cwd: pkg.directory,
    timeout: commandTimeoutMs,
  });
  const [tarball] = await readdir(target);
  return join(target, tarball);
};

/** What must not be in a tarball, and what must: only pnpm replaces `workspace:` and `catalog:`. */
const inspect = async (pkg, tarball) => {
  const problems = [];
  const { stdout: listing } = await run("tar", ["-tzf", tarball]);
  const files = listing.trim().split("\n");
  for (const file of files)
    if (/\.tsbuildinfo$|__pycache__|\/test\/|\/src\/|\/node_modules\//.test(file))
      problems.push(`${pkg.name} would publish ${file}`);
  const { stdout: manifest } = await run("tar", ["-xzOf", tarball, "package/package.json"]);
  if (/"(workspace|catalog):/.test(manifest))
    problems.push(`${pkg.name}: its manifest still says workspace: or catalog:`);
  const entries = Object.values(JSON.parse(manifest).exports ?? {}).map((entry) => entry.default ?? entry);
  const bins = Object.values(JSON.parse(manifest).bin ?? {});
  for (const entry of [...entries, ...bins])
    if (!files.includes(join("package", entry))) problems.push(`${pkg.name} does not contain ${entry}`);
  return problems;
};

const install = async (folder, tarballs) => {
  const own = Object.fromEntries([...tarballs].map(([name, file]) => [name, `file:${file}`]));
  // The overrides make our packages' own dependencies on each other come from the tarballs too.
  const manifest = { name: "empty", private: true, type: "module", dependencies: own, overrides: own };
  await writeFile(join(folder, "package.json"), JSON.stringify(manifest));
  await run("npm", ["install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], {
    cwd: folder,
    timeout: installTimeoutMs,
  });
};

const tryOut = async (folder) => {
  const problems = [];
  const attempt = async (what, command, args, expected) => {
    try {
      const { stdout } = await run(command, args, { cwd: folder, timeout: commandTimeoutMs });
      if (!expected.test(stdout)) problems.push(`${what} printed: ${stdout.slice(0, 500)}`);
    } catch (error) {
      problems.push(`${what} failed: ${reasonOf(error)}`);
    }
  };
  await attempt("npx ol-admin --help", "npx", ["--no-install", "ol-admin", "--help"], /worker/);
  const script =
    'const m = await import("@ol/sandbox"); console.log(typeof m.SandboxPool, typeof m.SockEngine);';
  await attempt(
    "import of @ol/sandbox",
    "node",
    ["--input-type=module", "-e", script],
    /^function function$/m,
  );
  const testing = 'const m = await import("@ol/sandbox/testing"); console.log(typeof m.FakeEngine);';
  await attempt(
    "import of @ol/sandbox/testing",
    "node",
    ["--input-type=module", "-e", testing],
    /^function$/m,
  );
  return problems;
};

const main = async () => {
  const scratch = await mkdtemp(join(tmpdir(), "ol-pack-"));
  try {
    const problems = [];
    const tarballs = new Map();
    for (const pkg of await listPackages()) {
      if (pkg.manifest.private === true) continue;
      const tarball = await pack(pkg, join(scratch, pkg.path.replaceAll("/", "-")));
      tarballs.set(pkg.name, tarball);
      problems.push(...(await inspect(pkg, tarball)));
    }
    const folder = join(scratch, "consumer");
    await mkdir(folder);
    await install(folder, tarballs);
    problems.push(...(await tryOut(folder)));
    report("pack", problems);
  } catch (error) {
    report("pack", [reasonOf(error)]);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
};

if (isMain(import.meta.url)) await main();
