import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

import { systemReason } from "@ol/common";

import { Output } from "./cli/output.ts";
import { run } from "./cli/run.ts";
import { COMMANDS } from "./commands/index.ts";
import { adminError } from "./errors.ts";

interface PackageFile {
  readonly version?: string;
  readonly bin?: Readonly<Record<string, string>> | string;
}

const readPackage = (file: string | URL): PackageFile =>
  JSON.parse(readFileSync(file, "utf8")) as PackageFile;

/** A program that is our dependency, run by the Node that runs us. */
const findProgram = (
  name: "ol-worker" | "ol-registry" | "ol-balancer",
  failure: "OL_ADMIN_WORKER_FAILED" | "OL_ADMIN_REGISTRY_FAILED" | "OL_ADMIN_BALANCER_FAILED",
): readonly string[] => {
  let file: string;
  try {
    file = createRequire(import.meta.url).resolve(`${name}/package.json`);
  } catch (error) {
    throw adminError(failure, `the package ${name} is missing; install ol-admin again`, { cause: error });
  }
  const { bin } = readPackage(file);
  const script = typeof bin === "string" ? bin : bin?.[name];
  const path = join(dirname(file), script ?? "");
  if (script === undefined || !existsSync(path))
    throw adminError(failure, `the package ${name} has no bin; install ol-admin again`);
  return [process.execPath, path];
};

/** A reader that went away (`ol-admin list | head`) is no error of ours. */
const endOnBrokenPipe = (stream: NodeJS.WriteStream): void => {
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit(0);
    // A full disk, for example. On the other stream, which may still be read.
    const other = stream === process.stdout ? process.stderr : process.stdout;
    other.write(`cannot write the output: ${systemReason(error)}\n`, () => process.exit(1));
  });
};

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** The first signal asks a command to end, the second to hurry; the third ends us in whatever state. */
const watchSignals = (): {
  readonly signal: AbortSignal;
  readonly urgent: AbortSignal;
  readonly stop: () => void;
} => {
  const [first, second] = [new AbortController(), new AbortController()];
  const heard = (name: NodeJS.Signals): void => {
    if (second.signal.aborted) process.exit(1);
    (first.signal.aborted ? second : first).abort(new Error(`ended by ${name}`));
  };
  for (const name of SIGNALS) process.on(name, heard);
  const stop = (): void => {
    for (const name of SIGNALS) process.off(name, heard);
  };
  return { signal: first.signal, urgent: second.signal, stop };
};

/** Runs the command line of this process and settles with its exit code. */
export const main = async (): Promise<number> => {
  endOnBrokenPipe(process.stdout);
  endOnBrokenPipe(process.stderr);
  const { signal, urgent, stop } = watchSignals();
  const { version = "0.0.0" } = readPackage(new URL("../package.json", import.meta.url));
  const table = { commands: COMMANDS, version };
  const code = await run(process.argv.slice(2), table, {
    cwd: process.cwd(),
    // oxlint-disable-next-line no-process-env -- the edge of a program is where its environment is read
    environment: process.env,
    input: process.stdin,
    output: new Output(process.stdout, process.stderr),
    signal,
    urgent,
    workerCommand: () => findProgram("ol-worker", "OL_ADMIN_WORKER_FAILED"),
    registryCommand: () => findProgram("ol-registry", "OL_ADMIN_REGISTRY_FAILED"),
    balancerCommand: () => findProgram("ol-balancer", "OL_ADMIN_BALANCER_FAILED"),
  });
  stop();
  return code;
};
