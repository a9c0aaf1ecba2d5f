// Imports between packages go downward only (lib/layers.mjs): in package.json, in the tsconfig references and
// in every import, and the three agree.
import { dirname, join, relative, resolve, sep } from "node:path";
import { readFile } from "node:fs/promises";

import { importsOf, packageOf } from "./lib/imports.mjs";
import { LAYERS, RESERVED_LIBRARIES } from "./lib/layers.mjs";
import { isMain, listFiles, listPackages, readIfExists, report, repositoryRoot } from "./lib/workspace.mjs";

const sourceEndings = [".ts", ".mts", ".js", ".mjs", ".cjs"];

const allowedFor = (name) => {
  const layer = LAYERS[name];
  return { imports: new Set(layer.imports), starts: new Set(layer.starts ?? []) };
};

const reservedProblem = (name, library) => {
  const owners = RESERVED_LIBRARIES[library];
  if (owners === undefined || owners.includes(name)) return undefined;
  return `${library} belongs to ${owners.join(", ")}; take plain options instead`;
};

const checkManifest = (pkg, ownNames) => {
  const problems = [];
  const { imports, starts } = allowedFor(pkg.name);
  for (const field of ["dependencies", "devDependencies", "peerDependencies", "optionalDependencies"]) {
    for (const dependency of Object.keys(pkg.manifest[field] ?? {})) {
      const where = `${pkg.path}/package.json: ${field} names ${dependency}`;
      if (ownNames.has(dependency) && !imports.has(dependency) && !starts.has(dependency))
        problems.push(`${where}, which is not below ${pkg.name}`);
      // What only tests use is not shipped: a server is tried by the clients that people have.
      const reserved = field === "devDependencies" ? undefined : reservedProblem(pkg.name, dependency);
      if (reserved !== undefined) problems.push(`${where}: ${reserved}`);
    }
  }
  return problems;
};

const readReferences = async (file) => {
  const text = await readIfExists(file);
  if (text === undefined) return [];
  return (JSON.parse(text).references ?? []).map((reference) => resolve(dirname(file), reference.path));
};

const checkReferences = async (pkg, packages) => {
  const file = `${pkg.path}/tsconfig.json`;
  const references = await readReferences(join(pkg.directory, "tsconfig.json"));
  const { imports } = allowedFor(pkg.name);
  const problems = [];
  const named = new Set();
  for (const directory of references) {
    const target = packages.find((other) => other.directory === directory);
    if (target === undefined) problems.push(`${file}: refers to ${directory}, which is no package`);
    else if (!imports.has(target.name))
      problems.push(`${file}: refers to ${target.name}, not below ${pkg.name}`);
    else named.add(target.name);
  }
  for (const dependency of Object.keys(pkg.manifest.dependencies ?? {}))
    if (imports.has(dependency) && !named.has(dependency))
      problems.push(`${file}: lacks a reference to ${dependency}, which package.json names`);
  return problems;
};

const checkImport = (context, specifier) => {
  const { pkg, file, ownNames, inTests, declared } = context;
  const where = `${pkg.path}/${relative(pkg.directory, file)}: imports ${specifier}`;
  if (specifier.startsWith(".")) {
    const target = resolve(dirname(file), specifier);
    return target.startsWith(pkg.directory + sep) ? [] : [`${where}, which is outside of its package`];
  }
  const target = packageOf(specifier);
  if (target === undefined || target === pkg.name) return [];
  const reserved = inTests && declared(target, true) ? undefined : reservedProblem(pkg.name, target);
  if (reserved !== undefined) return [`${where}: ${reserved}`];
  if (!ownNames.has(target)) return [];
  const problems = [];
  if (!allowedFor(pkg.name).imports.has(target) && !isStarted(pkg, specifier))
    problems.push(`${where}, which is not below ${pkg.name}`);
  if (!declared(target, inTests)) problems.push(`${where}, which package.json does not name`);
  const subpath = `.${specifier.slice(target.length)}`;
  const targetManifest = context.manifests.get(target);
  if (targetManifest?.exports !== undefined && !(subpath in targetManifest.exports))
    problems.push(`${where}, which ${target} does not export`);
  return problems;
};

// A process is found by resolving its package's manifest; its code is not loaded.
const isStarted = (pkg, specifier) =>
  allowedFor(pkg.name).starts.has(packageOf(specifier)) && specifier.endsWith("/package.json");

const checkSources = async (pkg, ownNames, manifests) => {
  const problems = [];
  const declared = (name, inTests) =>
    name in (pkg.manifest.dependencies ?? {}) ||
    name in (pkg.manifest.optionalDependencies ?? {}) ||
    (inTests && name in (pkg.manifest.devDependencies ?? {}));
  for (const file of await listFiles(pkg.directory, sourceEndings)) {
    const inTests = relative(pkg.directory, file).startsWith(`test${sep}`);
    const context = { pkg, file, ownNames, manifests, inTests, declared };
    for (const specifier of importsOf(await readFile(file, "utf8")))
      problems.push(...checkImport(context, specifier));
  }
  return problems;
};

/** Every violation in the workspace at `root`, one sentence each. */
export const checkLayers = async (root = repositoryRoot) => {
  const packages = await listPackages(root);
  const manifests = new Map(packages.map((pkg) => [pkg.name, pkg.manifest]));
  const ownNames = new Set([...Object.keys(LAYERS), ...manifests.keys()]);
  const rootReferences = new Set(await readReferences(join(root, "tsconfig.json")));
  const problems = [];
  for (const pkg of packages) {
    if (LAYERS[pkg.name] === undefined) {
      problems.push(`${pkg.path}: ${pkg.name} has no place in scripts/lib/layers.mjs`);
      continue;
    }
    if ((await readIfExists(join(pkg.directory, "tsconfig.json"))) !== undefined) {
      if (!rootReferences.has(pkg.directory))
        problems.push(`tsconfig.json: lacks a reference to ${pkg.path}`);
      problems.push(...(await checkReferences(pkg, packages)));
    }
    problems.push(...checkManifest(pkg, ownNames), ...(await checkSources(pkg, ownNames, manifests)));
  }
  return problems;
};

if (isMain(import.meta.url)) report("layers", await checkLayers());
