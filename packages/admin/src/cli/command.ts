import type { Readable } from "node:stream";

import type { Environment } from "@ol/config";

import type { Arguments } from "./arguments.ts";
import type { Output } from "./output.ts";

/** What a command may touch of the process it runs in. */
export interface Context {
  readonly cwd: string;
  readonly environment: Environment;
  readonly input: Readable;
  readonly output: Output;
  /** Aborted by ctrl-C and SIGTERM. */
  readonly signal: AbortSignal;
  /** Aborted when that is not enough: by the second of them. */
  readonly urgent: AbortSignal;
  /** The command, with its first arguments, that is `ol-worker`. */
  readonly workerCommand: () => readonly string[];
  /** The same of `ol-registry`. */
  readonly registryCommand: () => readonly string[];
  /** The same of `ol-balancer`. */
  readonly balancerCommand: () => readonly string[];
}

/** An option of a command. */
export interface OptionSpec {
  /** `flag` takes no value. */
  readonly kind: "text" | "flag";
  readonly about: string;
  /** One letter. */
  readonly alias?: string;
  /** How its value is called in the help: `--port=N`. */
  readonly value?: string;
}

/** An argument that has a place instead of a name. */
export interface PositionalSpec {
  readonly name: string;
  readonly about: string;
  readonly required: boolean;
  /** Of the last one only: all that follow are its values; Arguments.list has them. */
  readonly many?: boolean;
}

/** A command as data; `run.ts` turns it into yargs, errors into messages, and results into exit codes. */
export interface Command {
  readonly name: string;
  readonly about: string;
  readonly positionals?: readonly PositionalSpec[];
  readonly options: Readonly<Record<string, OptionSpec>>;
  /** Settles with the exit code. */
  run(args: Arguments, context: Context): Promise<number>;
}

/** The option that nearly every command has. */
export const CLUSTER_OPTION: OptionSpec = {
  kind: "text",
  value: "DIR",
  about:
    "the cluster directory; default: $OL_CLUSTER, else the current directory, else its only child that is one",
};

/** The option of every listing. */
export const JSON_OPTION: OptionSpec = { kind: "flag", about: "print JSON, for programs" };
