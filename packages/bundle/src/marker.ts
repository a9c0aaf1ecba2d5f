import { badRequirement } from "./bad-requirement.ts";
import { shown } from "./problems.ts";
import { TextCursor } from "./text-cursor.ts";

/** Nobody needs more, and the stack is not endless. */
const MAX_DEPTH = 20;

const VARIABLES: ReadonlySet<string> = new Set([
  "python_version",
  "python_full_version",
  "os_name",
  "sys_platform",
  "platform_release",
  "platform_system",
  "platform_version",
  "platform_machine",
  "platform_python_implementation",
  "implementation_name",
  "implementation_version",
  "extra",
]);
/** Spellings from before PEP 508 that pip still takes. */
const OLD_VARIABLES: Readonly<Record<string, string>> = {
  "os.name": "os_name",
  "sys.platform": "sys_platform",
  "platform.version": "platform_version",
  "platform.machine": "platform_machine",
  "platform.python_implementation": "platform_python_implementation",
  python_implementation: "platform_python_implementation",
};

const STRING = /'[^'\\]*'|"[^"\\]*"/uy;
const WORD = /[A-Za-z_][A-Za-z0-9_.]*/uy;
const OPERATOR = /===|==|~=|!=|<=|>=|<|>|in\b|not\s+in\b/uy;

/** `text` can stand beside `and`; one that joins parts by `or` cannot, without parentheses. */
interface Part {
  readonly text: string;
  readonly joinedByOr: boolean;
}

/**
 * Spells a PEP 508 marker, such as `python_version<'3.9' and (os_name=='nt')`, in its one way: single spaces, double
 * quotes, no parentheses that change nothing. Fails with OL_BUNDLE_BAD_REQUIREMENTS.
 */
export const normalizeMarker = (text: string): string => {
  const cursor = new TextCursor(text);
  const { text: spelled } = either(cursor, 0);
  if (!cursor.done) throw badRequirement(`has ${shown(cursor.rest)} behind the condition ${shown(spelled)}`);
  return spelled;
};

const either = (cursor: TextCursor, depth: number): Part => {
  const parts = [both(cursor, depth)];
  while (takeWord(cursor, /or\b/uy)) parts.push(both(cursor, depth));
  const [first] = parts;
  if (parts.length === 1 && first !== undefined) return first;
  return { text: parts.map((part) => part.text).join(" or "), joinedByOr: true };
};

const both = (cursor: TextCursor, depth: number): Part => {
  const parts = [one(cursor, depth)];
  while (takeWord(cursor, /and\b/uy)) parts.push(one(cursor, depth));
  const [first] = parts;
  if (parts.length === 1 && first !== undefined) return first;
  const texts = parts.map(({ text, joinedByOr }) => (joinedByOr ? `(${text})` : text));
  return { text: texts.join(" and "), joinedByOr: false };
};

const one = (cursor: TextCursor, depth: number): Part => {
  if (!takeWord(cursor, /\(/uy)) return { text: comparison(cursor), joinedByOr: false };
  if (depth >= MAX_DEPTH) throw badRequirement(`has more than ${MAX_DEPTH} parentheses within each other`);
  const inner = either(cursor, depth + 1);
  if (!takeWord(cursor, /\)/uy)) throw badRequirement(`lacks a ")" at ${cursor.here}`);
  return inner;
};

const comparison = (cursor: TextCursor): string => {
  const left = operand(cursor);
  const operator = cursor.take(OPERATOR)?.replace(/\s+/u, " ");
  if (operator === undefined)
    throw badRequirement(`has no comparison at ${cursor.here}; write one such as python_version < "3.9"`);
  cursor.skipSpace();
  const right = operand(cursor);
  if (VARIABLES.has(left) === VARIABLES.has(right))
    throw badRequirement(
      `has ${shown(`${left} ${operator} ${right}`)}, which does not compare a variable with a text`,
    );
  return `${left} ${operator} ${right}`;
};

/** A variable or a text in quotes. */
const operand = (cursor: TextCursor): string => {
  cursor.skipSpace();
  const text = cursor.take(STRING);
  const word = text === undefined ? cursor.take(WORD) : undefined;
  cursor.skipSpace();
  if (text !== undefined) return text.includes('"') && text.startsWith("'") ? text : `"${text.slice(1, -1)}"`;
  if (word === undefined)
    throw badRequirement(
      `has no variable and no text in quotes at ${cursor.here}; write a condition such as python_version < "3.9"`,
    );
  const variable = Object.hasOwn(OLD_VARIABLES, word) ? OLD_VARIABLES[word] : word;
  if (variable === undefined || !VARIABLES.has(variable))
    throw badRequirement(
      `has the word ${shown(word)}, which is no variable; there are ${[...VARIABLES].join(", ")}`,
    );
  return variable;
};

const takeWord = (cursor: TextCursor, pattern: RegExp): boolean => {
  cursor.skipSpace();
  return cursor.take(pattern) !== undefined;
};
