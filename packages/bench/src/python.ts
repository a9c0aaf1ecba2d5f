import { execFile, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

import { CleanupStack } from "@ol/common";

import { benchError } from "./errors.ts";

const run = promisify(execFile);
const startTimeoutMs = 10_000;
const makeTimeoutMs = 60_000;

/**
 * The machine's real Python: `python3` in PATH may be a shell script that looks for a version first (pyenv's
 * shims), and starting that is not what we compare with.
 */
export const realPython = async (): Promise<string> => {
  const script = "import os, sys; print(os.path.realpath(sys.executable))";
  const { stdout } = await run("python3", ["-c", script], { timeout: startTimeoutMs });
  return stdout.trim();
};

/** The same interpreter with no third-party packages. */
export interface CleanPython extends AsyncDisposable {
  readonly path: string;
}

/**
 * Makes an empty virtual environment. A package may hook into every start of the machine's Python (a `.pth` file;
 * one was met that tripled it), and such a slow baseline would flatter us.
 */
export const makeCleanPython = async (python: string): Promise<CleanPython> => {
  const cleanup = new CleanupStack();
  try {
    const directory = await mkdtemp(join(tmpdir(), "ol-python-"));
    cleanup.add(() => rm(directory, { recursive: true, force: true }));
    await run(python, ["-I", "-m", "venv", "--without-pip", directory], { timeout: makeTimeoutMs });
    return { path: join(directory, "bin/python3"), [Symbol.asyncDispose]: () => cleanup.run() };
  } catch (error) {
    await cleanup.run();
    throw error;
  }
};

/** `python3 -c pass`: from spawn to exit, in ms. */
export const measurePythonStart = (python: string): Promise<number> => measureCommand(python, ["-c", "pass"]);

/** From spawn to exit, in ms; anything but exit code 0 is an error. */
export const measureCommand = (command: string, args: readonly string[]): Promise<number> =>
  new Promise((resolve, reject) => {
    const begunMs = performance.now();
    const child = spawn(command, args, { stdio: "ignore", timeout: startTimeoutMs });
    child.once("error", reject);
    child.once("exit", (code) => {
      if (code === 0) resolve(performance.now() - begunMs);
      else reject(benchError("OL_BENCH_HELPER_FAILED", `${command} ended with ${code ?? "a signal"}`));
    });
  });
