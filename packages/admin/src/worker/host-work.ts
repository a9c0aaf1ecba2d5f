import { execFile } from "node:child_process";

import { adminError, errnoOf } from "../errors.ts";
import type { Context } from "../cli/command.ts";
import { escapeControls } from "../text.ts";
import { type Scope, findScope } from "./scope.ts";

/** A worker's leftovers can be hundreds of thousands of files. */
const DEADLINE_MS = 300_000;
/** Resolving, installing and compiling may each take what installer_limits allow. */
const INSTALL_MS = 3_600_000;
const MAX_OUTPUT_BYTES = 16 * 1024 * 1024;

const lastLine = (text: string): string =>
  escapeControls(
    text
      .split("\n")
      .filter((line) => line.trim() !== "")
      .at(-1) ?? "",
  );

type HostContext = Pick<Context, "workerCommand" | "environment" | "signal">;

type Verb = "doctor" | "base" | "sweep" | "packages";

/** Runs `ol-worker VERB --json ...`, which alone knows the host, and returns what it prints. `more`: further arguments. */
export const hostWork = async (
  context: HostContext,
  verb: Verb,
  configFile?: string,
  more: readonly string[] = [],
): Promise<unknown> => {
  const { environment, signal } = context;
  // doctor and base tell what a worker would have, and packages are installed with its limits: they run as one is started.
  const scope =
    verb === "sweep" ? { words: [], environment } : await findScope(`ol-${verb}`, environment, signal);
  return runHostWork(context, scope, verb, configFile, more);
};

const runHostWork = (
  context: HostContext,
  scope: Scope,
  verb: Verb,
  configFile: string | undefined,
  more: readonly string[],
): Promise<unknown> =>
  new Promise((resolve, reject) => {
    const [program = process.execPath, ...first] = [...scope.words, ...context.workerCommand()];
    const config = configFile === undefined ? [] : ["--config", configFile];
    const args = [...first, verb, ...config, "--json", ...more];
    const fail = (why: string, cause?: unknown): void =>
      reject(adminError("OL_ADMIN_HOST_WORK", `ol-worker ${verb} failed: ${why}`, { cause }));
    const options = {
      env: { ...scope.environment },
      timeout: verb === "packages" ? INSTALL_MS : DEADLINE_MS,
      killSignal: "SIGKILL" as const,
      maxBuffer: MAX_OUTPUT_BYTES,
      signal: context.signal,
    };
    const child = execFile(program, args, options, (error, stdout, stderr) => {
      let value: unknown;
      try {
        value = JSON.parse(stdout);
      } catch {
        const words = lastLine(stderr);
        fail(words === "" ? (errnoOf(error) ?? error?.message ?? "it printed no JSON") : words, error);
        return;
      }
      // All but sweep exit 1 when something is wrong, and print what.
      if (error !== null && verb === "sweep")
        fail(lastLine(stderr) === "" ? error.message : lastLine(stderr), error);
      else resolve(value);
    });
    child.stdin?.end();
  });
