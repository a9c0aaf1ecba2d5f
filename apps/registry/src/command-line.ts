import { messageOf, parseTokens } from "@ol/common";

/** What the command line asks for. */
export type Request =
  | { readonly kind: "run"; readonly config: string }
  | { readonly kind: "scrub"; readonly config: string; readonly json: boolean }
  | { readonly kind: "help" }
  | { readonly kind: "version" }
  /** `problem` is one sentence for the person who typed it. */
  | { readonly kind: "wrong"; readonly problem: string };

export const USAGE = `ol-registry keeps lambdas' code, and speaks S3.

ol-registry --config FILE          run the registry in the foreground; ctrl-C stops it, a second one at once
ol-registry scrub --config FILE    while it does not run: read everything again, and set aside what is damaged

--json       the result as JSON (scrub)
--version    --help

Each key of the configuration can also be set by the environment: registry_port is OL_REGISTRY_PORT.
Exit codes: 0 done, 1 failed or something is damaged, 2 wrong usage.
`;

const OPTIONS = {
  config: { type: "string" },
  json: { type: "boolean", default: false },
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
  const [command, ...rest] = positionals;
  if (values.help || command === "help") return { kind: "help" };
  if (values.version || command === "version") return { kind: "version" };
  if (command !== undefined && command !== "scrub")
    return wrong(`there is no command ${JSON.stringify(command)}`);
  if (rest.length > 0) return wrong(`unexpected argument ${JSON.stringify(rest[0])}`);
  const { config, json } = values;
  if (config === undefined || config === "") return wrong("--config FILE is missing");
  if (command === "scrub") return { kind: "scrub", config, json };
  return json ? wrong("--json belongs to scrub") : { kind: "run", config };
};
