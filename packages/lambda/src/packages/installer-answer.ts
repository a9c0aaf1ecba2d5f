import { normalizeVersion, type Pin, pinFault, pinsFault } from "@ol/bundle";
import { isOlError, type OlError } from "@ol/common";

import { lambdaError } from "../errors.ts";

/** Why the installer could not do something; see python/installer/reasons.py. */
export type InstallerFault = "unsatisfiable" | "mismatch" | "unreachable" | "no-space" | "no-tool" | "failed";

/** What the installer says of one package. */
export type InstallOutcome =
  | { readonly ok: true; readonly bytes: number }
  | { readonly ok: false; readonly kind: InstallerFault; readonly reason: string };

/** Where builds from source are allowed, what answers may be a package's own code. None is believed that has not this shape. */
export class AnswerError extends Error {}

const FAULTS: readonly string[] = [
  "unsatisfiable",
  "mismatch",
  "unreachable",
  "no-space",
  "no-tool",
  "failed",
] satisfies readonly InstallerFault[];
/** More than any lambda needs; a lock has room for them. */
const MOST_PINS = 1_000;
const MOST_HASHES = 1_000;
const REASON_CHARACTERS = 8_000;

type Fields = Readonly<Record<string, unknown>>;

const fieldsOf = (value: unknown): Fields => {
  if (typeof value !== "object" || value === null) throw new AnswerError("something is no object");
  return value as Fields;
};

const listOf = (value: unknown, most: number): readonly unknown[] => {
  if (Array.isArray(value) && value.length <= most) return value;
  throw new AnswerError(`something is no list of at most ${most}`);
};

const textOf = (value: unknown): string => {
  if (typeof value === "string") return value;
  throw new AnswerError("something is no text");
};

/** The whole answer, if the operation succeeded; else the fault. */
export const parseAnswer = (body: Buffer): Fields | Extract<InstallOutcome, { ok: false }> => {
  let answer: unknown;
  try {
    answer = JSON.parse(body.toString("utf8"));
  } catch {
    throw new AnswerError("it is no JSON");
  }
  const fields = fieldsOf(answer);
  return fields["ok"] === true ? fields : faultOf(fields);
};

const faultOf = ({ kind, reason }: Fields): Extract<InstallOutcome, { ok: false }> => ({
  ok: false,
  kind: FAULTS.includes(textOf(kind)) ? (kind as InstallerFault) : "failed",
  reason: textOf(reason).slice(0, REASON_CHARACTERS),
});

/** What requirement lines were resolved to: pins as a lock may have them, sorted. */
export const parsePins = (answer: Fields): readonly Pin[] => {
  const pins = listOf(answer["pins"], MOST_PINS).map(parsePin);
  pins.sort((one, other) => (one.name < other.name ? -1 : 1));
  const fault = pinsFault(pins);
  if (fault !== undefined) throw new AnswerError(fault);
  return pins;
};

const parsePin = (value: unknown): Pin => {
  const { name, version, hashes, requires } = fieldsOf(value);
  const spelled = textOf(version);
  const pin: Pin = {
    name: textOf(name),
    version: normalizeVersion(spelled) ?? spelled,
    hashes: listOf(hashes, MOST_HASHES).map(textOf).sort(),
    requires: listOf(requires, MOST_PINS).map(textOf).sort(),
  };
  const fault = pinFault(pin);
  if (fault !== undefined) throw new AnswerError(`${JSON.stringify(pin.name.slice(0, 100))}: ${fault}`);
  return pin;
};

/** One outcome for each of so many packages. */
export const parseOutcomes = (answer: Fields, count: number): readonly InstallOutcome[] => {
  const results = listOf(answer["results"], count);
  if (results.length !== count) throw new AnswerError("it does not tell of every package");
  return results.map((value) => {
    const fields = fieldsOf(value);
    if (fields["ok"] !== true) return faultOf(fields);
    const { bytes } = fields;
    if (typeof bytes !== "number" || !Number.isSafeInteger(bytes) || bytes < 0)
      throw new AnswerError("a size is none");
    return { ok: true, bytes };
  });
};

const unavailable = (message: string, cause?: unknown): OlError =>
  lambdaError("OL_LAMBDA_PACKAGES_UNAVAILABLE", message, { cause });

/** What an installer's fault is to whoever calls the lambda; `what` was being done, such as `numpy==2.1.0`. */
export const installerError = (kind: InstallerFault, reason: string, what?: string): OlError => {
  const text = what === undefined ? reason : `${what}: ${reason}`;
  switch (kind) {
    case "unreachable":
      return unavailable(`the package index cannot be reached: ${text}`);
    case "mismatch":
      return unavailable(`the package index gives another file than it says: ${text}`);
    case "no-space":
      return unavailable(
        `there is no room for the packages: ${text}; free some on the worker's disk, or raise installer_limits.scratch_mb`,
      );
    case "no-tool":
      return unavailable(NO_TOOL);
    default:
      return badPackages(text);
  }
};

/** The author's mistake. */
export const badPackages = (reason: string): OlError => lambdaError("OL_LAMBDA_BAD_PACKAGES", reason);

const NO_TOOL =
  "packages cannot be installed on this worker: it has neither uv nor pip 22.2 or newer; install one (Debian: apt-get install python3-pip)";

const ENDINGS: Readonly<Record<string, string>> = {
  OL_SANDBOX_NO_MEMORY: "no memory became free to install packages in",
  OL_SANDBOX_OUT_OF_MEMORY: "installing the packages took more than installer_limits.mem_mb",
  OL_SANDBOX_OUT_OF_DISK: "installing the packages took more than installer_limits.scratch_mb",
  OL_SANDBOX_TIMEOUT: "installing the packages took longer than installer_limits.runtime_sec",
};

/** What a sandbox's error is to whoever calls the lambda; its text, which may name paths of this machine, stays in the log. */
export const sandboxEnded = (error: unknown): OlError => {
  const code = isOlError(error) ? error.code : "an error of the worker's";
  return unavailable(ENDINGS[code] ?? `the sandbox that installs the packages ended (${code})`, error);
};
