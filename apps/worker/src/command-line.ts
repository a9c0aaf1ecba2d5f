import { messageOf, parseTokens } from "@ol/common";

/** What is to be done with the installed packages. */
export type PackageWork =
  | { readonly action: "list" }
  | { readonly action: "install"; readonly lines: readonly string[] }
  | { readonly action: "gc"; readonly olderThanDays: number; readonly dryRun: boolean };

/** What the command line asks for. */
export type Request =
  | { readonly kind: "run"; readonly config: string }
  | { readonly kind: "sweep"; readonly config: string; readonly json: boolean }
  | {
      readonly kind: "doctor" | "base";
      readonly config: string | undefined;
      readonly json: boolean;
    }
  | {
      readonly kind: "packages";
      readonly config: string;
      readonly json: boolean;
      readonly work: PackageWork;
    }
  | { readonly kind: "help" }
  | { readonly kind: "version" }
  /** `problem` is one sentence for the person who typed it. */
  | { readonly kind: "wrong"; readonly problem: string };

export const USAGE = `ol-worker runs lambdas in sandboxes and answers over HTTP.

ol-worker --config FILE            run a worker in the foreground; ctrl-C stops it, a second one at once
ol-worker sweep --config FILE      remove what a dead worker of this configuration left behind
ol-worker doctor [--config FILE]   say what this machine lacks
ol-worker base [--config FILE]     say whether sandboxes run on the base, and what is in it
ol-worker packages list --config FILE           list the installed packages
ol-worker packages install --config FILE LINE...   install what these requirements come to
ol-worker packages gc --config FILE             remove packages that no lambda names and nobody used

--older-than DAYS   packages gc: what was used within this time stays (30)
--dry-run    packages gc: only say what would be removed
--json       the result as JSON (sweep, doctor, base, packages)
--version    --help

Each key of the configuration can also be set by the environment: worker_port is OL_WORKER_PORT.
Exit codes: 0 done, 1 failed, 2 wrong usage.
`;

const OPTIONS = {
  config: { type: "string" },
  json: { type: "boolean", default: false },
  "older-than": { type: "string" },
  "dry-run": { type: "boolean", default: false },
  help: { type: "boolean", default: false },
  version: { type: "boolean", default: false },
} as const;

const wrong = (problem: string): Request => ({ kind: "wrong", problem });

/** Reads the command line, without the program's name. */
export const readCommandLine = (tokens: readonly string[]): Request => {
  let parsed;
  try {
    parsed = parseTokens(tokens, OPTIONS);
  } catch (error) {
    return wrong(messageOf(error));
  }
  const { values, positionals } = parsed;
  if (values.help || positionals[0] === "help") return { kind: "help" };
  if (values.version || positionals[0] === "version") return { kind: "version" };
  const { config, json } = values;
  const [command, ...rest] = positionals;
  if (command !== "packages") {
    if (rest.length > 0) return wrong(`unexpected argument ${JSON.stringify(rest[0])}`);
    if (values["older-than"] !== undefined || values["dry-run"])
      return wrong("--older-than and --dry-run belong to packages gc");
  }
  if (command === "doctor" || command === "base") return { kind: command, config, json };
  if (command !== undefined && command !== "sweep" && command !== "packages")
    return wrong(`there is no command ${JSON.stringify(command)}`);
  if (config === undefined || config === "") return wrong("--config FILE is missing");
  if (command === "sweep") return { kind: "sweep", config, json };
  if (command === "packages") {
    const work = readPackageWork(rest, values["older-than"], values["dry-run"]);
    return typeof work === "string" ? wrong(work) : { kind: "packages", config, json, work };
  }
  return json ? wrong("--json belongs to sweep, doctor, base and packages") : { kind: "run", config };
};

const DEFAULT_DAYS = "30";

/** The problem, if it is none. */
const readPackageWork = (
  [action, ...lines]: readonly string[],
  days: string | undefined,
  dryRun: boolean,
): PackageWork | string => {
  if (action !== "gc" && (days !== undefined || dryRun))
    return "--older-than and --dry-run belong to packages gc";
  if (action === "install")
    return lines.length === 0 ? "packages install needs a requirement such as numpy" : { action, lines };
  if (lines.length > 0) return `unexpected argument ${JSON.stringify(lines[0])}`;
  if (action === "list") return { action };
  if (action !== "gc") return "packages needs one of list, install, gc";
  const olderThanDays = Number(days ?? DEFAULT_DAYS);
  // Uses are noted some times a day: what was used within one is not known better.
  return Number.isInteger(olderThanDays) && olderThanDays >= 1 && olderThanDays <= 36_500
    ? { action, olderThanDays, dryRun }
    : "--older-than must be a whole number of days, at least 1";
};
