import { parseArgs, type ParseArgsConfig } from "node:util";

type Options = NonNullable<ParseArgsConfig["options"]>;
type Parsed<O extends Options> = ReturnType<
  typeof parseArgs<{ args: string[]; options: O; allowPositionals: true }>
>;

/** `-config=F`, as the Go original spells it, is `--config=F`. */
const twoDashes = (token: string): string => (/^-[a-z]{2}/u.test(token) ? `-${token}` : token);

/** Reads a program's arguments, in either spelling; throws node:util's error for those that are not among `options`. */
export const parseTokens = <const O extends Options>(tokens: readonly string[], options: O): Parsed<O> =>
  parseArgs({ args: tokens.map(twoDashes), options, allowPositionals: true });
