import { isOlError, messageOf, nearest } from "@ol/common";
import yargs, { type Argv } from "yargs";

import { errnoOf } from "../errors.ts";
import { escapeControls, shown } from "../text.ts";
import { Arguments, normalize, usageError } from "./arguments.ts";
import type { Command, Context } from "./command.ts";

/** The commands there are. */
export interface CommandTable {
  readonly commands: readonly Command[];
  readonly version: string;
}

const EXIT = { done: 0, failed: 1, usage: 2 } as const;

const USAGE_CODES = ["OL_ADMIN_USAGE", "OL_ADMIN_NO_CLUSTER", "OL_BUNDLE_BAD_NAME"];

const HELP = new Set(["--help", "-help", "-h"]);
const VERSION = new Set(["--version", "-version", "version"]);

/**
 * A command line in its one spelling has no positionals, only options: yargs takes no positional that begins with
 * a dash. The help shows them as they are typed.
 */
type Purpose = "help" | "values";

const signatureOf = (command: Command): string =>
  [
    command.name,
    ...(command.positionals ?? []).map(({ name, required, many }) => {
      const words = many === true ? `${name}..` : name;
      return required ? `<${words}>` : `[${words}]`;
    }),
  ].join(" ");

const addOptions = (parser: Argv, command: Command, purpose: Purpose): Argv => {
  let result = parser;
  for (const { name, about } of command.positionals ?? [])
    result =
      purpose === "help"
        ? result.positional(name, { type: "string", describe: about })
        : result.option(name, { type: "string" });
  for (const [name, spec] of Object.entries(command.options))
    result = result.option(name, {
      type: spec.kind === "flag" ? "boolean" : "string",
      describe: spec.about,
      ...(spec.alias === undefined ? {} : { alias: spec.alias }),
      ...(spec.value === undefined ? {} : { requiresArg: true }),
    });
  return result;
};

const parserOf = (
  table: CommandTable,
  purpose: Purpose,
  chosen: (command: Command, values: Record<string, unknown>) => void,
): Argv => {
  let parser = yargs()
    .scriptName("ol-admin")
    .usage("$0 <command> [options]\n\nMakes and runs OpenLambda clusters.")
    // Otherwise an installed bin prints the version of the package that it is installed in.
    .version(table.version)
    .help()
    .exitProcess(false)
    .parserConfiguration({
      "parse-numbers": false,
      "parse-positional-numbers": false,
      "dot-notation": false,
      "boolean-negation": false,
      "duplicate-arguments-array": false,
      "camel-case-expansion": false,
    })
    .wrap(110);
  for (const command of table.commands)
    parser = parser.command(
      purpose === "help" ? signatureOf(command) : command.name,
      command.about,
      (inner) => addOptions(inner, command, purpose),
      (values) => chosen(command, values),
    );
  return parser.epilogue(
    "Exit codes: 0 done, 1 failed, 2 wrong usage. -option=value and --option value work, too.",
  );
};

/** The help text, or what the parser makes of a command line in its one spelling. */
const parse = (
  table: CommandTable,
  tokens: readonly string[],
  purpose: Purpose,
): { readonly printed: string; readonly values: ReadonlyMap<string, string | boolean> } => {
  const values = new Map<string, string | boolean>();
  let printed = "";
  let failure: unknown;
  const parser = parserOf(table, purpose, (_command, found) => {
    for (const [key, value] of Object.entries(found))
      if (typeof value === "string" || typeof value === "boolean") values.set(key, value);
  });
  void parser.parse([...tokens], {}, (error, _argv, output) => {
    failure = error;
    printed = output;
  });
  if (failure !== undefined && failure !== null) throw usageError(messageOf(failure));
  return { printed, values };
};

/** Splits off the command's name; options may stand before it. */
const splitCommand = (
  tokens: readonly string[],
  table: CommandTable,
): { name: string | undefined; rest: string[] } => {
  const at = tokens.findIndex((token, index) => {
    if (token.startsWith("-")) return false;
    const before = tokens[index - 1];
    // The value of an option: `-cluster X status`.
    const isValue = before !== undefined && before.startsWith("-") && !before.includes("=");
    return !isValue || table.commands.some((command) => command.name === token);
  });
  if (at < 0) return { name: undefined, rest: [...tokens] };
  return { name: tokens[at], rest: tokens.filter((_, index) => index !== at) };
};

const unknownCommand = (name: string, table: CommandTable): Error => {
  const meant = nearest(
    name,
    table.commands.map((command) => command.name),
  );
  const advice = meant === undefined ? "see: npx ol-admin --help" : `did you mean ${meant}?`;
  return usageError(`there is no command ${shown(name)}; ${advice}`);
};

const execute = async (tokens: readonly string[], table: CommandTable, context: Context): Promise<number> => {
  const { name, rest } = splitCommand(tokens, table);
  const wantsHelp = rest.some((token) => HELP.has(token));
  if (name === "version" || (name === undefined && rest.some((token) => VERSION.has(token)))) {
    context.output.result(table.version);
    return EXIT.done;
  }
  if (name === undefined || name === "help") {
    const { printed } = parse(table, ["--help"], "help");
    if (wantsHelp || name === "help") context.output.result(printed);
    else context.output.message(printed);
    return wantsHelp || name === "help" ? EXIT.done : EXIT.usage;
  }
  const command = table.commands.find((candidate) => candidate.name === name);
  if (command === undefined) throw unknownCommand(name, table);
  if (wantsHelp) {
    context.output.result(parse(table, [name, "--help"], "help").printed);
    return EXIT.done;
  }
  const { values } = parse(table, [name, ...normalize(rest, command)], "values");
  return command.run(new Arguments(values), context);
};

/** What a person is told of an error: what failed, why, what to do; never a stack trace. */
const explain = (error: unknown): string => {
  if (isOlError(error)) return error.message.split("\n").map(escapeControls).join("\n");
  const errno = errnoOf(error);
  if (errno !== undefined) return `the operating system refused: ${escapeControls(messageOf(error))}`;
  return `internal error: ${escapeControls(messageOf(error))}; this is a defect of ol-admin, please report it`;
};

/** Runs one command line and settles with the exit code. The one place where errors become messages. */
export const run = async (
  tokens: readonly string[],
  table: CommandTable,
  context: Context,
): Promise<number> => {
  try {
    return await execute(tokens, table, context);
  } catch (error) {
    if (context.signal.aborted && !isOlError(error)) {
      context.output.message("interrupted");
      return EXIT.failed;
    }
    context.output.message(explain(error));
    return isOlError(error) && USAGE_CODES.includes(error.code) ? EXIT.usage : EXIT.failed;
  }
};
