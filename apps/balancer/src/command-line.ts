import { messageOf, parseTokens } from "@ol/common";

/** What the command line asks for. */
export type Request =
  | { readonly kind: "run"; readonly config: string }
  | { readonly kind: "help" }
  | { readonly kind: "version" }
  /** `problem` is one sentence for the person who typed it. */
  | { readonly kind: "wrong"; readonly problem: string };

export const USAGE = `ol-balancer sends calls to the workers that have their code and packages.

ol-balancer --config FILE    run the load balancer in the foreground; ctrl-C stops it, a second one at once

--version    --help

Each key of the configuration can also be set by the environment: load_high is OL_LOAD_HIGH.
Exit codes: 0 done, 1 failed, 2 wrong usage.
`;

const OPTIONS = {
  config: { type: "string" },
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
  const [command] = positionals;
  if (values.help || command === "help") return { kind: "help" };
  if (values.version || command === "version") return { kind: "version" };
  if (command !== undefined) return wrong(`unexpected argument ${JSON.stringify(command)}`);
  const { config } = values;
  return config === undefined || config === "" ? wrong("--config FILE is missing") : { kind: "run", config };
};
