import { nearest } from "@ol/common";

import { adminError } from "../errors.ts";
import { asClusterFlag, shown } from "../text.ts";
import type { Command, OptionSpec } from "./command.ts";

export const usageError = (message: string): Error => adminError("OL_ADMIN_USAGE", message);

/** No argument has it. */
const BETWEEN = "\0";

/** What was typed after a command's name, by option and positional name. */
export class Arguments {
  readonly #values: ReadonlyMap<string, string | boolean>;

  constructor(values: ReadonlyMap<string, string | boolean>) {
    this.#values = values;
  }

  flag(name: string): boolean {
    return this.#values.get(name) === true;
  }

  text(name: string): string | undefined {
    const value = this.#values.get(name);
    return typeof value === "string" ? value : undefined;
  }

  /** For what the parser made sure is there. */
  required(name: string): string {
    const value = this.text(name);
    if (value === undefined) throw usageError(`${name} is missing`);
    return value;
  }

  /** Of a positional of which there may be many. */
  list(name: string): readonly string[] {
    return this.text(name)?.split(BETWEEN) ?? [];
  }

  wholeNumber(name: string, minimum: number, maximum: number): number | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const value = /^\d{1,15}$/u.test(text) ? Number(text) : Number.NaN;
    if (!(value >= minimum && value <= maximum))
      throw usageError(`--${name} must be a whole number from ${minimum} to ${maximum}, not ${shown(text)}`);
    return value;
  }
}

interface FoundOption {
  readonly name: string;
  readonly spec: OptionSpec;
  /** What stands behind `=`, or behind a one-letter option. */
  readonly attached: string | undefined;
}

/** `--cluster`, `-cluster` (as Go's flag package has it), each with or without `=value`; `-d`, `-dVALUE`. */
const findOption = (token: string, command: Command): FoundOption | undefined => {
  const long = /^--?(?<name>[A-Za-z][A-Za-z0-9_-]+)(?:=(?<value>.*))?$/su.exec(token)?.groups;
  const name = long?.["name"]?.replaceAll("_", "-");
  const spec = name === undefined ? undefined : command.options[name];
  if (name !== undefined && spec !== undefined) return { name, spec, attached: long?.["value"] };
  const short = /^-(?<letter>[A-Za-z])(?:=?(?<value>.+))?$/su.exec(token)?.groups;
  for (const [option, candidate] of Object.entries(command.options))
    if (candidate.alias !== undefined && candidate.alias === short?.["letter"])
      return { name: option, spec: candidate, attached: short["value"] };
  return undefined;
};

const unknownOption = (token: string, command: Command): Error => {
  const bare = token.replace(/=.*$/su, "");
  const meant = nearest(bare, Object.keys(command.options));
  const advice =
    meant === undefined ? `see: npx ol-admin ${command.name} --help` : `did you mean --${meant}?`;
  return usageError(`${command.name} has no option ${shown(bare)}; ${advice}`);
};

const superfluousError = (value: string, command: Command): Error => {
  // Where nothing else is expected, it is most likely the cluster.
  const isCluster = command.positionals === undefined && command.options["cluster"] !== undefined;
  const advice = isCluster
    ? `did you mean ${asClusterFlag(value)}?`
    : `see: npx ol-admin ${command.name} --help`;
  return usageError(`${command.name} does not take ${shown(value)}; ${advice}`);
};

/**
 * Brings what was typed into the one spelling that yargs reads the same way everywhere: `--name=value`, for
 * positionals too. Unknown options, missing and superfluous values fail with OL_ADMIN_USAGE.
 */
export const normalize = (tokens: readonly string[], command: Command): string[] => {
  const options: string[] = [];
  const positionals: string[] = [];
  const rest = [...tokens];
  for (let token = rest.shift(); token !== undefined; token = rest.shift()) {
    if (token === "--") {
      positionals.push(...rest.splice(0));
    } else if (!token.startsWith("-") || token === "-") {
      positionals.push(token);
    } else {
      const found = findOption(token, command);
      if (found === undefined) throw unknownOption(token, command);
      options.push(`--${found.name}=${valueOf(found, rest)}`);
    }
  }
  const expected = command.positionals ?? [];
  const last = expected.at(-1);
  if (last?.many === true && positionals.length > expected.length)
    positionals.push(positionals.splice(expected.length - 1).join(BETWEEN));
  const superfluous = positionals[expected.length];
  if (superfluous !== undefined) throw superfluousError(superfluous, command);
  const missing = expected.slice(positionals.length).find(({ required }) => required);
  if (missing !== undefined)
    throw usageError(
      `${command.name} needs ${missing.name}: ${missing.about}; see: npx ol-admin ${command.name} --help`,
    );
  return [...options, ...positionals.map((value, at) => `--${expected[at]?.name}=${value}`)];
};

const valueOf = ({ name, spec, attached }: FoundOption, rest: string[]): string => {
  if (spec.kind === "flag") {
    if (attached === undefined || attached === "true" || attached === "false") return attached ?? "true";
    throw usageError(`--${name} takes no value`);
  }
  const value = attached ?? rest.shift();
  if (value === undefined || value === "")
    throw usageError(`--${name} needs a value: --${name}=${spec.value ?? "X"}`);
  return value;
};
