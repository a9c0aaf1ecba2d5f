// Packs what would be published, and installs it in an empty folder as its users do.
import { execFile } from "node:child_process";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

import { listPackages, repositoryRoot } from "./workspace.mjs";

const run = promisify(execFile);
const PNPM = ["--prefer-offline", "-y", "pnpm@10.34.8"];
const packTimeoutMs = 180_000;
// On a machine that has none of the libraries yet.
const installTimeoutMs = 300_000;
const maxBuffer = 64 * 1024 * 1024;

/** `@ol/worker` and `ol-worker` would both be called ol-worker-VERSION.tgz. */
const groupOf = (pkg) => (pkg.name.startsWith("@") ? "scoped" : "plain");
const fileName = (pkg) => `${pkg.name.replace("@", "").replaceAll("/", "-")}-${pkg.manifest.version}.tgz`;

/** Packs every package that is not private into `target`; returns `[{ pkg, tarball }]`. */
export const packAll = async (target) => {
  const packages = (await listPackages()).filter((pkg) => pkg.manifest.private !== true);
  for (const group of ["scoped", "plain"]) {
    const directory = join(target, group);
    await mkdir(directory);
    const filters = packages.filter((pkg) => groupOf(pkg) === group).map((pkg) => `--filter=${pkg.name}`);
    await run("npx", [...PNPM, ...filters, "--recursive", "pack", "--pack-destination", directory], {
      cwd: repositoryRoot,
      timeout: packTimeoutMs,
      maxBuffer,
    });
  }
  const packed = packages.map((pkg) => ({ pkg, tarball: join(target, groupOf(pkg), fileName(pkg)) }));
  const there = new Set();
  for (const group of ["scoped", "plain"])
    for (const name of await readdir(join(target, group))) there.add(join(target, group, name));
  const missing = packed.filter(({ tarball }) => !there.has(tarball));
  if (missing.length > 0)
    throw new Error(`pnpm packed no ${missing.map(({ tarball }) => tarball).join(", ")}`);
  return packed;
};

/** Makes `folder` a project that has all of them, and nothing else, installed; libraries come from pnpm's store where it has them. */
export const installAll = async (folder, packed) => {
  await mkdir(folder);
  const own = Object.fromEntries(packed.map(({ pkg, tarball }) => [pkg.name, `file:${tarball}`]));
  // The overrides make our packages' own dependencies on each other come from the tarballs too.
  const manifest = {
    name: "empty",
    private: true,
    type: "module",
    dependencies: own,
    pnpm: { overrides: own },
  };
  await writeFile(join(folder, "package.json"), JSON.stringify(manifest));
  const flags = [
    "--prefer-offline",
    "--ignore-scripts",
    "--ignore-workspace",
    "--config.strict-peer-dependencies=true",
  ];
  await run("npx", [...PNPM, "install", ...flags], { cwd: folder, timeout: installTimeoutMs, maxBuffer });
};
