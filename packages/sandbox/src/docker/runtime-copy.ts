import { chmod, copyFile, mkdir, readdir, rm } from "node:fs/promises";
import path from "node:path";

import { PYTHON_DIR } from "../sock/python.ts";

const OPEN_TO_ALL = 0o755;
const READABLE = 0o644;
/** For as long as the image's Python compiles what is there; nobody else gets to this directory. */
const WRITABLE = 0o777;
const COMPILED = "__pycache__";
const PACKAGE = "ol_guest";

/**
 * A copy of the guest's runtime for containers: where it is installed, their users may not be allowed to read, and the image's
 * Python is not this machine's, so that what it compiles belongs to it alone. `seal` it once it is compiled.
 */
export const copyRuntime = async (directory: string): Promise<void> => {
  await rm(directory, { recursive: true, force: true });
  await mkdir(path.join(directory, PACKAGE, COMPILED), { recursive: true });
  await mkdir(path.join(directory, COMPILED));
  const copy = async (name: string): Promise<void> => {
    const target = path.join(directory, name);
    await copyFile(path.join(PYTHON_DIR, name), target);
    await chmod(target, READABLE);
  };
  await copy("ol_kernel.py");
  for (const name of await readdir(path.join(PYTHON_DIR, PACKAGE)))
    if (name.endsWith(".py")) await copy(path.join(PACKAGE, name));
  await setModes(directory, WRITABLE);
};

/** Nobody writes to it from now on. */
export const sealRuntime = (directory: string): Promise<void> => setModes(directory, OPEN_TO_ALL);

const setModes = async (directory: string, ofCompiled: number): Promise<void> => {
  for (const name of ["", PACKAGE]) {
    await chmod(path.join(directory, name), OPEN_TO_ALL);
    await chmod(path.join(directory, name, COMPILED), ofCompiled);
  }
};
