// Reads the workspace: which packages exist, and what their manifests and sources say.
import { readdir, readFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";

/** The repository's top directory. */
export const repositoryRoot = fileURLToPath(new URL("../../", import.meta.url));

const isMissing = (error) => error?.code === "ENOENT" || error?.code === "ENOTDIR";

/** The file's text, or undefined if there is no such file. */
export const readIfExists = async (file) => {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
};

const directoriesIn = async (directory) => {
  try {
    const entries = await readdir(directory, { withFileTypes: true });
    return entries
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name)
      .toSorted(byText);
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
};

/** Every package of the workspace: `{ directory, path, name, manifest }`; `path` is relative to the root. */
export const listPackages = async (root = repositoryRoot) => {
  const packages = [];
  for (const group of ["packages", "apps"]) {
    for (const name of await directoriesIn(join(root, group))) {
      const directory = join(root, group, name);
      const text = await readIfExists(join(directory, "package.json"));
      if (text === undefined) continue;
      const manifest = JSON.parse(text);
      packages.push({ directory, path: relative(root, directory), name: manifest.name, manifest });
    }
  }
  return packages;
};

/** An order that does not depend on the machine's language. */
export const byText = (a, b) => (a < b ? -1 : a > b ? 1 : 0);

const skippedDirectories = new Set(["node_modules", "dist", "__pycache__"]);

/** Every file below `directory` that ends in one of `endings`, sorted; build output and dependencies left out. */
export const listFiles = async (directory, endings) => {
  const files = [];
  const visit = async (current) => {
    let entries;
    try {
      entries = await readdir(current, { withFileTypes: true });
    } catch (error) {
      if (isMissing(error)) return;
      throw error;
    }
    for (const entry of entries) {
      const path = join(current, entry.name);
      if (entry.isDirectory() && !skippedDirectories.has(entry.name)) await visit(path);
      else if (entry.isFile() && endings.some((ending) => entry.name.endsWith(ending))) files.push(path);
    }
  };
  await visit(directory);
  return files.toSorted(byText);
};

/** Prints what a check found and sets the exit code: the one way in which every check script ends. */
export const report = (what, problems) => {
  for (const problem of problems) process.stderr.write(`${what}: ${problem}\n`);
  if (problems.length > 0) process.exitCode = 1;
  else process.stdout.write(`${what}: ok\n`);
};

/** True if the module at `url` is the program that was started, not an import of a test. */
export const isMain = (url) => process.argv[1] === fileURLToPath(url);
