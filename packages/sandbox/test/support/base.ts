import { execFile } from "node:child_process";
import { constants, existsSync } from "node:fs";
import { chmod, copyFile, mkdir, symlink, writeFile } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";

import { findPython } from "../../src/sock/python.ts";

/** What a base made by `makeBase` has in /usr/share/ol-marker, and this machine has not. */
export const MARKER = "of the base\n";

// More than half of the standard library, of which nothing is needed here.
const LEFT_OUT = [
  "site-packages dist-packages test tests idlelib ensurepip lib2to3 tkinter turtledemo pydoc_data distutils",
  "config-* libpython* *.opt-?.pyc _tkinter* _test* _codecs_* _curses* _dbm* _gdbm* _crypt* readline* ossaudiodev* nis* _ctypes_test* xxlimited* audioop*",
].flatMap((names) => names.split(" "));
// The first argument is the base; the second, relative to /, is copied, at the same path, with the options that follow.
const COPY = 'base=$1 from=$2; shift 2; tar -c -C / "$@" -- "$from" | tar -x -C "$base"';

const ASK = `
import sys, sysconfig
for name in ("stdlib", "platstdlib"): print(sysconfig.get_path(name))
`;

const output = async (program: string, args: readonly string[]): Promise<string[]> => {
  const { stdout } = await promisify(execFile)(program, args, { maxBuffer: 1 << 24 });
  return stdout.split("\n").filter((line) => line !== "");
};

/** The same path within the base, whose directory is made. */
const within = async (base: string, original: string): Promise<string> => {
  const target = path.join(base, original);
  await mkdir(path.dirname(target), { recursive: true });
  return target;
};

// What uv is linked with, besides what Python is.
const OF_UV = ["libgcc_s.so.1", "librt.so.1", "libpthread.so.0", "libdl.so.2", "libm.so.6"];

/** Where this machine has libraries, by the loader's own list. */
const librariesOf = async (names: readonly string[]): Promise<string[]> =>
  (await output("ldconfig", ["-p"])).flatMap((line) => {
    const found = /^\s*(?<name>\S+) \(.*x86-64.*\) => (?<file>\S+)$/u.exec(line)?.groups;
    return found !== undefined && names.includes(found["name"] ?? "") ? [found["file"] ?? ""] : [];
  });

/**
 * Fills `base` with the least root file system that runs this machine's Python: interpreter, standard library, and the
 * shared libraries of both, each at the path that it has here. `withUv`: what uv needs besides.
 */
export const makeBase = async (base: string, withUv = false): Promise<void> => {
  const python = (await findPython()).path;
  const copy = async (file: string): Promise<void> => {
    const target = await within(base, file);
    if (!existsSync(target)) await copyFile(file, target, constants.COPYFILE_FICLONE);
  };
  await copy(python);
  for (const library of new Set(await output(python, ["-I", "-S", "-c", ASK])))
    await output("sh", [
      "-c",
      COPY,
      "copy",
      base,
      library.slice(1),
      ...LEFT_OUT.map((name) => `--exclude=${name}`),
    ]);
  const modules = await output("find", [base, "-name", "*.so"]);
  for (const line of await output("ldd", [python, ...modules])) {
    const library = /(?:=>)?\s(?<file>\/\S+) \(0x/u.exec(line)?.groups?.["file"];
    if (library !== undefined) await copy(library);
  }
  for (const library of withUv ? await librariesOf(OF_UV) : []) await copy(library);
  // As distributions have it: a link, here an absolute one, which must be looked up in the base.
  await mkdir(path.join(base, "usr/local/bin"), { recursive: true });
  await symlink(python, path.join(base, "usr/local/bin/python3"));
  await mkdir(path.join(base, "usr/share"), { recursive: true });
  await writeFile(path.join(base, "usr/share/ol-marker"), MARKER);
  // Open to its owner only, who is not the one whose worker uses the base.
  await mkdir(path.join(base, "private"), { mode: 0o700 });
  await chmod(base, 0o755);
};
