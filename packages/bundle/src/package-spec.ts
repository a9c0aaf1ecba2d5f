import { badRequirement } from "./bad-requirement.ts";
import { normalizeMarker } from "./marker.ts";
import { isPackageName, normalizePackageName } from "./package-name.ts";
import { packageUrl } from "./package-url.ts";
import { shown } from "./problems.ts";
import { TextCursor } from "./text-cursor.ts";
import { takeSpecifier } from "./version-specifier.ts";

/** A package that is wanted, as PEP 508 has it. */
export interface PackageSpec {
  /** In its one spelling: lower case, single dashes. */
  readonly name: string;
  /** Sorted, in their one spelling. */
  readonly extras: readonly string[];
  /** The versions that will do, such as `<2,>=1.0`; "" for all. */
  readonly specifier: string;
  /** The condition under which it is wanted, such as `python_version < "3.9"`; "" if it always is. */
  readonly marker: string;
  /** Where its wheel is, with `#sha256=...`; then there is no specifier. */
  readonly url?: string;
  /** All of this as one line of ASCII, equal for all spellings of the same. */
  readonly text: string;
}

const WORD = /[A-Za-z0-9][A-Za-z0-9._-]*/uy;
/** Slips that are made often, and what was meant. */
const SLIPS: readonly (readonly [RegExp, (...found: string[]) => string])[] = [
  [/^=>\s*(\S+)/u, (version) => `write >=${version}`],
  [/^=<\s*(\S+)/u, (version) => `write <=${version}`],
  [/^=\s*(\S+)/u, (version) => `write ==${version}`],
  [/^=[<>]?\s*$/u, () => "write == and a version"],
  [/^[vV]?[0-9]\S*/u, (version) => `write ==${version}`],
  [/^[~^!]/u, () => "versions are compared by ==, !=, >=, <=, >, <, ~= or ==="],
  [/^[<>=~!]/u, () => "a comma belongs between two versions"],
  [/^[A-Za-z]/u, () => "a package has a line of its own"],
];

/** Parses one requirement without options. Fails with OL_BUNDLE_BAD_REQUIREMENTS. */
export const parsePackageSpec = (line: string, allowUrls: boolean): PackageSpec => {
  const cursor = new TextCursor(line);
  const word = cursor.take(WORD);
  if (word === undefined || !isPackageName(word))
    throw badRequirement("does not begin with a package's name; write one such as requests>=2.31");
  const name = normalizePackageName(word);
  cursor.skipSpace();
  const extras = takeExtras(cursor);
  cursor.skipSpace();
  const url = cursor.take(/@/uy) === undefined ? undefined : takeUrl(cursor, word, allowUrls);
  const specifier = url === undefined ? takeVersions(cursor) : "";
  const marker = takeMarker(cursor);
  const wanted = extras.length === 0 ? name : `${name}[${extras.join(",")}]`;
  const where = url === undefined ? wanted + specifier : `${wanted} @ ${url}`;
  // A URL may hold a semicolon: the space ends it.
  const semicolon = url === undefined ? ";" : " ;";
  const text = marker === "" ? where : `${where}${semicolon} ${marker}`;
  return { name, extras, specifier, marker, ...(url === undefined ? {} : { url }), text };
};

const takeExtras = (cursor: TextCursor): readonly string[] => {
  if (cursor.take(/\[/uy) === undefined) return [];
  const extras = new Set<string>();
  for (let more = cursor.take(/\s*\]/uy) === undefined; more; more = cursor.take(/\s*,/uy) !== undefined) {
    cursor.skipSpace();
    const extra = cursor.take(WORD);
    if (extra === undefined || !isPackageName(extra)) throw badExtras(cursor);
    extras.add(normalizePackageName(extra));
  }
  if (extras.size > 0 && cursor.take(/\s*\]/uy) === undefined) throw badExtras(cursor);
  return [...extras].sort();
};

const badExtras = ({ here }: TextCursor): Error =>
  badRequirement(`has no list of extras at ${here}; write one such as [security,socks]`);

const takeVersions = (cursor: TextCursor): string => {
  if (cursor.take(/\(/uy) === undefined) return takeSpecifier(cursor);
  cursor.skipSpace();
  const specifier = takeSpecifier(cursor);
  if (cursor.take(/\)/uy) === undefined) throw badRequirement(`lacks a ")" at ${cursor.here}`);
  return specifier;
};

const takeUrl = (cursor: TextCursor, name: string, allowUrls: boolean): string => {
  cursor.skipSpace();
  if (!allowUrls)
    throw badRequirement(
      `names a URL; packages come from the index only, so write ${name} and the versions that will do`,
    );
  return packageUrl(cursor.take(/\S+/uy) ?? "");
};

const takeMarker = (cursor: TextCursor): string => {
  cursor.skipSpace();
  if (cursor.done) return "";
  if (cursor.take(/;/uy) !== undefined) return normalizeMarker(cursor.rest);
  const { rest } = cursor;
  for (const [pattern, advice] of SLIPS) {
    const found = pattern.exec(rest);
    if (found !== null) throw badRequirement(`has ${shown(rest)}; ${advice(found[1] ?? found[0])}`);
  }
  throw badRequirement(`has ${shown(rest)}, which is no part of a requirement; remove it`);
};
