// Which Nodes and Pythons the tests can be run on.
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

/** The lines of Node that are supported; the npm package `node` brings the newest of each. */
export const NODE_LINES = [20, 22, 24];
const OLDEST_PYTHON = [3, 9];
const DOWNLOAD_MS = 300_000;
// A launcher that looks for a version first is slow on a busy machine.
const PROBE_MS = 20_000;

/**
 * @typedef {{ version: string, path: string }} Interpreter
 * @typedef {{ what: string, why: string }} Missing  one that was looked for and cannot be used
 */

/** One line of Node, or why it is not to be had. */
export const findNode = async (line) => {
  try {
    const args = ["-y", `node@${line}`, "-p", "process.version + '\\n' + process.execPath"];
    // Not in the repository, where npx looks for a bin of this name first.
    const { stdout } = await run("npx", args, { cwd: tmpdir(), timeout: DOWNLOAD_MS });
    const [version = "", path = ""] = stdout.trim().split("\n").slice(-2);
    return { version: version.replace(/^v/, ""), path };
  } catch (error) {
    return { what: `Node ${line}`, why: lastLine(error.stderr) || error.message };
  }
};

const lastLine = (text = "") => text.trim().split("\n").at(-1);

const listed = async (directory, pattern) => {
  const names = await readdir(directory).catch(() => []);
  return names.filter((name) => pattern.test(name)).map((name) => join(directory, name));
};

/** Where interpreters are: on PATH, where distributions put them, and where pyenv and uv do. */
const candidates = async () => {
  const pyenv = process.env.PYENV_ROOT ?? join(homedir(), ".pyenv");
  const versions = [
    ...(await listed(join(pyenv, "versions"), /^\d/)),
    ...(await listed(join(homedir(), ".local/share/uv/python"), /^cpython-/)),
  ];
  const onPath = (process.env.PATH ?? "").split(delimiter);
  const directories = [...onPath, "/usr/local/bin", "/usr/bin", ...versions.map((one) => join(one, "bin"))];
  // pyenv's launchers stand for what is in its versions, or refuse to stand for anything.
  const own = directories.filter((directory) => directory !== join(pyenv, "shims"));
  const named = await Promise.all(own.map((directory) => listed(directory, /^python3(\.\d+)?$/)));
  return [...new Set(named.flat())];
};

// Readable by Python 2 as well, so that it can be called too old.
const PROBE = `
import os, sys
path = getattr(sys, "_base_executable", None) or sys.executable
print(os.path.realpath(path))
print(".".join(map(str, sys.version_info[:3])))
print(sys.version.count("PyPy"))
`;

const probe = async (command) => {
  const { stdout } = await run(command, ["-I", "-S", "-c", PROBE], { timeout: PROBE_MS });
  const [path = "", version = "", others = ""] = stdout.trim().split("\n");
  return { path, version, isCpython: others === "0" };
};

/** The path of the interpreter behind `python3`, if that is its name there too; undefined if there is none. */
export const realPython = async () => {
  const path = await probe("python3").then(
    (python) => join(dirname(python.path), "python3"),
    () => undefined,
  );
  return path !== undefined && existsSync(path) ? path : undefined;
};

/** Whether a version is one that sandboxes run on. */
export const isSupported = (version) => {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  return major > OLDEST_PYTHON[0] || (major === OLDEST_PYTHON[0] && minor >= OLDEST_PYTHON[1]);
};

/** Every Python of this machine, each once whatever it is called, and those that are of no use with the reason. */
export const findPythons = async () => {
  const found = new Map();
  const missing = [];
  for (const command of await candidates()) {
    try {
      const { path, version, isCpython } = await probe(command);
      if (isCpython) found.set(path, { version, path });
      else missing.push({ what: command, why: "is PyPy, in which sandboxes were never tried" });
    } catch (error) {
      missing.push({ what: command, why: lastLine(error.stderr) || error.message });
    }
  }
  const all = [...found.values()].sort((a, b) => a.version.localeCompare(b.version, "en", { numeric: true }));
  const old = all.filter(({ version }) => !isSupported(version));
  return {
    pythons: all.filter(({ version }) => isSupported(version)),
    missing: [
      ...missing,
      ...old.map(({ version, path }) => ({ what: `Python ${version} (${path})`, why: "is older than 3.9" })),
    ],
  };
};
