import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { messageOf } from "@ol/common";

import { sandboxError } from "../errors.ts";

/** The package's Python sources, beside src/ and dist/ alike. */
export const PYTHON_DIR: string = fileURLToPath(new URL("../../python", import.meta.url));

/** The broker, as BrokerClient starts it. */
export const BROKER = {
  name: "broker",
  start: "import sys; sys.path.insert(0, sys.argv[1]); from ol_host.main import main; main()",
} as const;

/** The engine `docker`'s helper, likewise. */
export const PORTER = {
  name: "porter",
  start: "import sys; sys.path.insert(0, sys.argv[1]); from ol_host.main import porter; porter()",
} as const;

const OLDEST_PYTHON = [3, 9] as const;
// A shim that has to find the interpreter first can take a second on a busy machine.
const PROBE_TIMEOUT_MS = 20_000;
/**
 * Asks for the interpreter itself: not the launcher that stands before it, nor the link to it in a virtual environment,
 * nor, for one made with --copies, the copy, which is outside of what a sandbox sees of the interpreter's files.
 */
const PROBE = `
import os, sys
path = os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)
prefix = os.path.realpath(sys.base_prefix)
original = os.path.join(prefix, "bin", "python%d.%d" % sys.version_info[:2])
if not path.startswith(prefix + os.sep) and os.path.exists(original):
    path = os.path.realpath(original)
print(path)
print(".".join(map(str, sys.version_info[:3])))
`;

/** The interpreter that the broker and every sandbox run on. */
export interface Python {
  /** The interpreter itself, without links: not a shim, and not a virtual environment's. */
  readonly path: string;
  readonly version: string;
}

/** Finds the interpreter behind `command`; OL_SANDBOX_HOST_UNFIT if there is none, or it is too old. */
export const findPython = async (command = "python3"): Promise<Python> => {
  const output = await runProbe(command);
  const [path = "", version = ""] = output.trim().split("\n");
  const [major = 0, minor = 0] = version.split(".").map(Number);
  if (major < OLDEST_PYTHON[0] || (major === OLDEST_PYTHON[0] && minor < OLDEST_PYTHON[1])) {
    const wanted = OLDEST_PYTHON.join(".");
    throw sandboxError(
      "OL_SANDBOX_HOST_UNFIT",
      `${command} is Python ${version}, and sandboxes need ${wanted} or newer; install one and put it first on PATH`,
    );
  }
  return { path, version };
};

const runProbe = async (command: string): Promise<string> => {
  try {
    const { stdout } = await promisify(execFile)(command, ["-I", "-S", "-c", PROBE], {
      timeout: PROBE_TIMEOUT_MS,
    });
    return stdout;
  } catch (error) {
    const { code, stderr = "" } = error as NodeJS.ErrnoException & { stderr?: string };
    const said = stderr.trim().split("\n").at(-1) || messageOf(error).split("\n")[0];
    const reason = code === "ENOENT" ? `there is no ${command} on PATH` : said;
    throw sandboxError(
      "OL_SANDBOX_HOST_UNFIT",
      `Python 3 is needed to run sandboxes, and ${reason}; install it (Debian: apt-get install python3)`,
      { cause: error },
    );
  }
};
