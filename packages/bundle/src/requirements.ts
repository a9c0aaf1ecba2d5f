import { createHash } from "node:crypto";

import { isOlError } from "@ol/common";

import { Problems, shown } from "./problems.ts";
import { requirementLines } from "./requirement-lines.ts";
import { type LineRequirement, parseRequirementLine } from "./requirement-line.ts";
import type { PackageSpec } from "./package-spec.ts";

/** One package that a lambda names. */
export interface Requirement extends PackageSpec {
  /** What the lines that ask for it call its modules, sorted: of `bs4:beautifulsoup4` it is `bs4`. Mostly none. */
  readonly modules: readonly string[];
  /** The SHA-256 of the files that will do, in hex, sorted; any will if there are none. */
  readonly hashes: readonly string[];
  /** Where it stands first, from 1. */
  readonly line: number;
}

export interface RequirementOptions {
  /** Whether `name @ https://...whl#sha256=...` is taken. No by default. */
  readonly allowUrls?: boolean;
}

/** Lambdas that are to start soon need few; a lock of a large application has some hundreds. */
export const MAX_REQUIREMENTS = 1_000;
/** With some hashes for each of them. */
export const MAX_REQUIREMENTS_BYTES: number = 64 * 1024;

/** What ends a line for Python, but for no editor, and other characters that no text has. */
const CONTROL = /(?![\t\n\r])[\p{Cc}\u2028\u2029]/u;

/**
 * Parses packages.txt or requirements.txt; `file` is how messages call it. Each line is
 *
 * - a requirement by PEP 508, such as `requests[socks]>=2.31,<3 ; python_version >= "3.9"`, with `--hash=sha256:...` behind
 *   it if it names one version by `==`; a hash restricts this package only, not those that have none;
 * - `module:requirement`, as OpenLambda had it from the beginning: what follows the colon is installed.
 *
 * `#` at the beginning or behind a space begins a comment, a backslash at the end of a line goes on in the next. Every other
 * option, file or URL is refused: what is installed is decided by names, and from where by whoever runs the worker. The same
 * requirement may stand there twice, two for one package only if their markers differ.
 *
 * Returns them in the order of the file. Fails with OL_BUNDLE_BAD_REQUIREMENTS, which names all mistakes.
 */
export const parseRequirements = (
  text: string,
  file: string,
  options: RequirementOptions = {},
): Requirement[] => {
  const problems = new Problems(file);
  const found = isReadable(text, problems) ? collect(text, options, problems) : [];
  problems.assertNone("OL_BUNDLE_BAD_REQUIREMENTS");
  return found;
};

/** Equal for requirements that mean the same, in any order: sha256 in hex. Modules do not count. */
export const requirementsDigest = (requirements: readonly Requirement[]): string => {
  const lines = requirements.map(lineOf).sort();
  return createHash("sha256").update(lines.join("\n")).digest("hex");
};

/** The requirement as pip takes it, in a line of ASCII. */
export const lineOf = ({ text, hashes }: Pick<Requirement, "text" | "hashes">): string =>
  [text, ...hashes.map((hash) => `--hash=sha256:${hash}`)].join(" ");

const isReadable = (text: string, problems: Problems): boolean => {
  if (Buffer.byteLength(text) > MAX_REQUIREMENTS_BYTES) {
    problems.add(1, `the file is larger than ${MAX_REQUIREMENTS_BYTES / 1024} KiB; make it shorter`);
    return false;
  }
  const odd = CONTROL.exec(text);
  if (odd === null) return true;
  const line = text.slice(0, odd.index).split(/\r\n|\n|\r/u).length;
  problems.add(line, `has the control character ${shown(odd[0])}; save the file as plain UTF-8 text`);
  return false;
};

const collect = (
  text: string,
  { allowUrls = false }: RequirementOptions,
  problems: Problems,
): Requirement[] => {
  const found = new Map<string, Requirement>();
  for (const { number, text: line } of requirementLines(text)) {
    if (found.size >= MAX_REQUIREMENTS) {
      problems.add(number, `there are more than ${MAX_REQUIREMENTS} requirements; remove some`);
      break;
    }
    const parsed = parsedLine(line, allowUrls, number, problems);
    if (parsed === undefined) continue;
    const key = `${parsed.name};${parsed.marker}`;
    const known = found.get(key);
    if (known === undefined || lineOf(known) === lineOf(parsed))
      found.set(key, merged(parsed, known, number));
    else
      problems.add(
        number,
        `${parsed.name} is there twice, as ${shown(known.text)} in line ${known.line} and as ${shown(parsed.text)}; keep one`,
      );
  }
  return [...found.values()];
};

const parsedLine = (
  line: string,
  allowUrls: boolean,
  number: number,
  problems: Problems,
): LineRequirement | undefined => {
  try {
    return parseRequirementLine(line, allowUrls);
  } catch (error) {
    if (!isOlError(error, "OL_BUNDLE_BAD_REQUIREMENTS")) throw error;
    problems.add(number, `${quoted(line)} ${error.message}`);
    return undefined;
  }
};

/** The line for a message, without passwords. */
const quoted = (line: string): string => shown(line.replaceAll(/:\/\/[^/\s]*@/gu, "://...@"));

const merged = (
  { module, ...parsed }: LineRequirement,
  known: Requirement | undefined,
  line: number,
): Requirement => {
  const modules = new Set([...(known?.modules ?? []), ...(module === undefined ? [] : [module])]);
  return { ...parsed, modules: [...modules].sort(), line: known?.line ?? line };
};
