import { bundleError } from "./errors.ts";
import {
  lineOf,
  MAX_REQUIREMENTS_BYTES,
  parseRequirements,
  type Requirement,
  type RequirementOptions,
  requirementsDigest,
} from "./requirements.ts";
import { readSmallFile } from "./small-file.ts";
import { shown } from "./problems.ts";

/** The files that name a lambda's packages; the first is what OpenLambda had from the beginning. */
export const REQUIREMENT_FILES = ["packages.txt", "requirements.txt"] as const;
export type RequirementFile = (typeof REQUIREMENT_FILES)[number];

/** The packages that a lambda names. */
export interface Requirements {
  readonly file: RequirementFile;
  /** At least one, in the order of the file. */
  readonly requirements: readonly Requirement[];
  /** As requirementsDigest has it. */
  readonly digest: string;
}

/**
 * Reads DIRECTORY/packages.txt or requirements.txt; undefined if there is none, or nothing but comments in it. If there are
 * both they have to mean the same. Fails with OL_BUNDLE_BAD_REQUIREMENTS or OL_BUNDLE_UNREADABLE.
 */
export const readRequirements = async (
  directory: string,
  options: RequirementOptions = {},
): Promise<Requirements | undefined> => {
  const read = REQUIREMENT_FILES.map((file) => readOne(directory, file, options)).filter(
    (one) => one !== undefined,
  );
  const [first, second] = read;
  if (first !== undefined && second !== undefined && first.digest !== second.digest)
    throw differ(first, second);
  return first === undefined || first.requirements.length === 0 ? undefined : first;
};

const readOne = (
  directory: string,
  file: RequirementFile,
  options: RequirementOptions,
): Requirements | undefined => {
  const text = readSmallFile(directory, file, MAX_REQUIREMENTS_BYTES, "OL_BUNDLE_BAD_REQUIREMENTS");
  if (text === undefined) return undefined;
  const requirements = parseRequirements(text, file, options);
  return { file, requirements, digest: requirementsDigest(requirements) };
};

const differ = (one: Requirements, other: Requirements): Error => {
  const [alone, where] = onlyIn(one, other) ?? onlyIn(other, one) ?? [];
  const example = alone === undefined ? "" : `: ${shown(alone.text)} is only in ${where}`;
  return bundleError(
    "OL_BUNDLE_BAD_REQUIREMENTS",
    `${one.file} and ${other.file} do not name the same packages${example}; delete one of the two files`,
  );
};

const onlyIn = (one: Requirements, other: Requirements): [Requirement, RequirementFile] | undefined => {
  const known = new Set(other.requirements.map(lineOf));
  const alone = one.requirements.find((requirement) => !known.has(lineOf(requirement)));
  return alone === undefined ? undefined : [alone, one.file];
};
