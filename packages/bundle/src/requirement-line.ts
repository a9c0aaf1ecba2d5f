import { badRequirement } from "./bad-requirement.ts";
import { type PackageSpec, parsePackageSpec } from "./package-spec.ts";
import { shown } from "./problems.ts";
import { pinOf } from "./version-specifier.ts";

/** What one line of a requirements file asks for. */
export interface LineRequirement extends PackageSpec {
  /** The module that the line's `module:package` names. */
  readonly module?: string;
  /** The SHA-256 of the files that will do, in hex, sorted; any will if there are none. */
  readonly hashes: readonly string[];
}

const INDEX_OPTIONS: ReadonlySet<string> = new Set([
  "-i",
  "--index-url",
  "--pypi-url",
  "--extra-index-url",
  "-f",
  "--find-links",
  "--no-index",
  "--trusted-host",
]);
const FILE_OPTIONS: ReadonlySet<string> = new Set(["-r", "--requirement", "-c", "--constraint"]);

const HASH = /^sha256:(?<hex>[0-9A-Fa-f]{64})$/u;
const URL = /^(?:[A-Za-z][A-Za-z0-9+.-]*:\/\/|file:)/u;
const PATH =
  /^(?:[./\\~]|[A-Za-z]:[/\\]|[^\s;@[(<>=!~]*[/\\])|\.(?:whl|zip|tar|tar\.[a-z0-9]+|tgz|egg)(?:\[|[\s;]|$)/iu;
const MODULE = /^(?<module>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)\s*:(?<rest>.*)$/u;

/**
 * Parses a line of a requirements file, comments and line ends taken away: a requirement by PEP 508 with `--hash=sha256:...`
 * behind it, or OpenLambda's own `module:requirement`. Fails with OL_BUNDLE_BAD_REQUIREMENTS.
 */
export const parseRequirementLine = (line: string, allowUrls: boolean): LineRequirement => {
  checkCharacters(line);
  // As pip does, whatever is in quotes.
  const options = line.startsWith("-") ? 0 : line.search(/\s-/u);
  const wanted = options < 0 ? line : line.slice(0, options).trim();
  const hashes = options < 0 ? [] : readHashes(line.slice(options).trim());
  if (wanted === "") throw badRequirement("has a hash and no package; a backslash ends the line before it");
  if (URL.test(wanted))
    throw badRequirement(
      allowUrls
        ? "is a URL without a name; write NAME @ URL"
        : "is a URL; packages come from the index only, so write the package's name",
    );
  const { module, rest = wanted } = MODULE.exec(wanted)?.groups ?? {};
  const spec = rest.trim();
  if (spec === "")
    throw badRequirement("names no package behind its colon; write one such as bs4:beautifulsoup4");
  if (PATH.test(spec.split("@", 1)[0] ?? ""))
    throw badRequirement("is a path; packages come from the index only, so put the code beside the lambda's");
  const parsed = parsePackageSpec(spec, allowUrls);
  if (hashes.length > 0 && pinOf(parsed.specifier) === undefined)
    throw badRequirement(`has a hash, and not one version; write ${parsed.name}==VERSION`);
  return { ...parsed, ...(module === undefined ? {} : { module }), hashes };
};

const checkCharacters = (line: string): void => {
  const odd = /[^\t\x20-\x7e]/u.exec(line)?.[0].codePointAt(0);
  if (odd !== undefined) {
    const name = `U+${odd.toString(16).toUpperCase().padStart(4, "0")}`;
    throw badRequirement(`has the character ${name}; only a comment may have more than ASCII`);
  }
  if (line.includes("${"))
    throw badRequirement(
      "has a variable of the environment, and there is none when packages are installed; write its value out",
    );
};

const readHashes = (options: string): readonly string[] => {
  const hashes = new Set<string>();
  const words = options.split(/\s+/u);
  for (let word = words.shift(); word !== undefined; word = words.shift()) {
    const [name = "", ...values] = word.split("=");
    if (name !== "--hash") throw badOption(name);
    const value = values.length > 0 ? values.join("=") : (words.shift() ?? "");
    const hex = HASH.exec(value)?.groups?.["hex"];
    if (hex === undefined)
      throw badRequirement(
        `has the hash ${shown(value)}, which is not sha256: and 64 hex digits; "pip hash FILE" prints them`,
      );
    hashes.add(hex.toLowerCase());
  }
  return [...hashes].sort();
};

const badOption = (word: string): Error => {
  // `-rother.txt` and `-i https://...` mean the same as with a space.
  const name = /^-[A-Za-z]/u.test(word) ? word.slice(0, 2) : word;
  if (INDEX_OPTIONS.has(name))
    return badRequirement(
      `has ${name}, which is not taken: which index is asked is for the worker's pip_mirror to say; remove it`,
    );
  if (FILE_OPTIONS.has(name))
    return badRequirement(
      `has ${name}, which is not taken: there is one file only; copy the other's lines into it`,
    );
  if (name === "-e" || name === "--editable")
    return badRequirement(
      `has ${name}, which is not taken: packages come from the index only; put the code beside the lambda's`,
    );
  return badRequirement(
    `has ${shown(name)}, and the only option that is taken is --hash=sha256:...; remove it`,
  );
};
