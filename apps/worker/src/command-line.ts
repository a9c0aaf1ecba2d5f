import { parseArgs } from "node:util";

import { messageOf } from "@ol/common";

/** What the command line asks for. */
export type Request =
  | { readonly kind: "run"; readonly config: string }
  | { readonly kind: "sweep"; readonly config: string; readonly json: boolean }
  | { readonly kind: "doctor"; readonly config: string | undefined; readonly json: boolean }
  | { readonly kind: "help" }
  | { readonly kind: "version" }
  /** `problem` is one sentence for the person who typed it. */
  | { readonly kind: "wrong"; readonly problem: string };

export const USAGE = `ol-worker runs lambdas in sandboxes and answers over HTTP.

ol-worker --config FILE            run a worker in the foreground; ctrl-C stops it, a second one at once
ol-worker sweep --config FILE      remove what a dead worker of this configuration left behind
ol-worker doctor [--config FILE]   say what this machine lacks

--json       the result as JSON (sweep, doctor)
--version    --help

Each key of the configuration can also be set by the environment: worker_port is OL_WORKER_PORT.
Exit codes: 0 done, 1 failed, 2 wrong usage.
`;

const OPTIONS = {
  config: { type: "string" },
  json: { type: "boolean", default: false },
  help: { type: "boolean", default: false },
  version: { type: "boolean", default: false },
} as const;

/** `-config=F`, as the Go original spells it, is `--config=F`. */
const twoDashes = (token: string): string => (/^-[a-z]{2}/u.test(token) ? `-${token}` : token);

const wrong = (problem: string): Request => ({ kind: "wrong", problem });

/** Reads the command line, without the program's name. */
export const readCommandLine = (tokens: readonly string[]): Request => {
  let parsed;
  try {
    parsed = parseArgs({ args: tokens.map(twoDashes), options: OPTIONS, allowPositionals: true });
  } catch (error) {
    return wrong(messageOf(error));
  }
  const { values, positionals } = parsed;
  if (values.help || positionals[0] === "help") return { kind: "help" };
  if (values.version || positionals[0] === "version") return { kind: "version" };
  if (positionals.length > 1) return wrong(`unexpected argument ${JSON.stringify(positionals[1])}`);
  const { config, json } = values;
  const [command] = positionals;
  if (command === "doctor") return { kind: "doctor", config, json };
  if (command !== undefined && command !== "sweep")
    return wrong(`there is no command ${JSON.stringify(command)}`);
  if (config === undefined || config === "") return wrong("--config FILE is missing");
  if (command === "sweep") return { kind: "sweep", config, json };
  return json ? wrong("--json belongs to sweep and doctor") : { kind: "run", config };
};
