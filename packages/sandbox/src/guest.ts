import { join } from "node:path";

import { PYTHON_DIR } from "./sock/python.ts";

/** Which code a guest runtime is to run, and over which connection. */
export interface GuestStart {
  /**
   * The process's descriptor of a connected stream socket: what the engine hands out as `connection` is its other end. At the limit:
   * what is no such descriptor ends the process.
   */
  readonly descriptor: number;
  /** Absolute path of the code's directory, as the process sees it. */
  readonly code: string;
  /** Absolute paths of package directories; default: none. */
  readonly packages?: readonly string[];
  /** Where the runtime's files are, as the process sees them; default: where this package has them. */
  readonly runtimeDir?: string;
}

/** Directory of the guest runtime, for engines that have to put it where their sandboxes can read it. Python's own library is all it needs. */
export const GUEST_RUNTIME_DIR: string = PYTHON_DIR;

/**
 * Arguments for a Python from 3.9 on, with which it becomes a sandbox's guest: for an engine of one's own, which starts it
 * shut in as it sees fit. It ends by itself when the connection does.
 */
export const guestArguments = ({
  descriptor,
  code,
  packages = [],
  runtimeDir = GUEST_RUNTIME_DIR,
}: GuestStart): readonly string[] => [
  // Python's own variables and the user's packages do not count; no site-packages; no .pyc is written.
  "-I",
  "-S",
  "-B",
  join(runtimeDir, "ol_guest", "standalone.py"),
  String(descriptor),
  code,
  ...packages,
];
