import { readFile } from "node:fs/promises";
import path from "node:path";

import { isOlError } from "@ol/common";

import { type HostCheck, type HostReport, baseCheck, checkHost, failedTrial } from "./host.ts";
import { PYTHON_DIR } from "./python.ts";
import { type Inspected, Trial } from "./trial.ts";

/** What a base is made of, as its own Python tells it from inside a sandbox. */
export interface BaseFacts {
  /** "3.12.4" */
  readonly python: string;
  /** "CPython" */
  readonly implementation: string;
  /** Its path in the base, without links. */
  readonly interpreter: string;
  /** "glibc 2.36", "musl", or "" if it cannot be told. */
  readonly libc: string;
  /** "x86_64" */
  readonly machine: string;
  /** The distribution's name for itself; "" if it has none. */
  readonly system: string;
  /** Whether the system call filter is in force. */
  readonly seccomp: boolean;
  /** Parts of the standard library, certificates and time zones that are not there, each with the reason. */
  readonly lacking: Readonly<Record<string, string>>;
}

/** What `ol-admin base check` tells of a base. */
export interface BaseReport extends HostReport {
  /** Absent if no sandbox answered. */
  readonly facts?: BaseFacts;
}

/** The base's owner is not trusted with more than a lambda: what it says is text, and not too much of it. */
const MOST_CHARACTERS = 200;
const MOST_LACKING = 50;

const text = (value: unknown): string => (typeof value === "string" ? value.slice(0, MOST_CHARACTERS) : "");

/** What a traceback comes to. */
const lastLine = (said: string): string => text(said.trim().split("\n").at(-1));

const unfit = (said: string): HostCheck => ({
  name: "sandbox",
  ok: false,
  detail: `one was made, but the look at the base failed in it: ${lastLine(said)}`,
});

const parsed = (body: Buffer): unknown => {
  try {
    return JSON.parse(body.toString());
  } catch {
    // Python that is not what it should be: whoever asked says so.
    return undefined;
  }
};

/** Undefined if that is no answer to what was asked. */
const factsIn = (body: Buffer): BaseFacts | undefined => {
  const answer = parsed(body);
  if (typeof answer !== "object" || answer === null) return undefined;
  const said = answer as Record<string, unknown>;
  const lacking = Object.entries(said["lacking"] ?? {}).slice(0, MOST_LACKING);
  return {
    python: text(said["version"]),
    implementation: text(said["implementation"]),
    interpreter: text(said["interpreter"]),
    libc: text(said["libc"]),
    machine: text(said["machine"]),
    system: text(said["system"]),
    seccomp: said["seccomp"] === true,
    lacking: Object.fromEntries(lacking.map(([name, reason]) => [text(name), text(reason)])),
  };
};

const seccompCheck = ({ seccomp }: BaseFacts): HostCheck => ({
  name: "seccomp",
  ok: seccomp,
  detail: seccomp ? "the system call filter is in force" : "the system call filter is not in force",
});

const describe = ({ python, implementation, interpreter, libc, machine, system }: BaseFacts): HostCheck[] => [
  { name: "python", ok: true, detail: `${implementation} ${python} at ${interpreter}` },
  { name: "system", ok: true, detail: [system, libc, machine].filter((word) => word !== "").join(", ") },
];

const lackingChecks = ({ lacking }: BaseFacts): readonly HostCheck[] =>
  Object.entries(lacking).map(([name, detail]) => ({ name, ok: false, detail }));

const tryBase = async (options: Inspected): Promise<BaseReport> => {
  try {
    const code = await readFile(path.join(PYTHON_DIR, "ol_base_probe", "f.py"), "utf8");
    await using trial = await Trial.create(code, options);
    const { failure, body } = await trial.call(Buffer.from("null"));
    const base = baseCheck(trial.engine, options);
    const facts = failure === undefined ? factsIn(body) : undefined;
    if (facts === undefined) return { checks: [base, unfit(body.toString())] };
    return {
      checks: [base, ...describe(facts), seccompCheck(facts)],
      optional: lackingChecks(facts),
      enforcement: trial.engine.enforcement,
      facts,
    };
  } catch (error) {
    if (!isOlError(error)) throw error;
    return {
      checks: [isOlError(error, "OL_SANDBOX_IMPORT_FAILED") ? unfit(error.message) : failedTrial(error)],
    };
  }
};

/**
 * Makes a sandbox on a base, this machine's own if none is named, and asks it what there is. It works if every check is
 * ok; `optional` names what lambdas have to do without.
 */
export const inspectBase = async (options: Inspected = {}): Promise<BaseReport> => {
  const lacking = (await checkHost(options.python)).filter((check) => !check.ok);
  return lacking.length > 0 ? { checks: lacking } : tryBase(options);
};
