import { bundleError } from "./errors.ts";

/** Which code is meant: a lambda, and perhaps one version of it. At most one of `tag` and `digest` is there. */
export interface Reference {
  readonly name: string;
  readonly tag?: string;
  /** 64 lower-case hexadecimal digits: the SHA-256 of the bundle. */
  readonly digest?: string;
}

const WORD = /^[A-Za-z0-9.\-_]+$/u;
const DIGEST = /^sha256:[0-9a-f]{64}$/u;
const MAX_LENGTH = 128;

/** Why `word` is no name (or tag), as the end of a sentence; undefined if it is one. */
const faultOf = (word: string): string | undefined => {
  if (word === "") return "is empty";
  if (word.length > MAX_LENGTH) return `is longer than ${MAX_LENGTH} characters`;
  if (!WORD.test(word)) return "may hold only letters, digits, '.', '-' and '_'";
  if (word.startsWith(".") || word.startsWith("-")) return `may not begin with '${word[0]}'`;
  if (word.endsWith(".tar.gz")) return "may not end in .tar.gz";
  return undefined;
};

/** Text of a stranger, made fit for a message: quoted, escaped, short. */
const shown = (text: string): string => JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}...` : text);

/** Whether `word` can be a lambda's name. */
export const isLambdaName = (word: string): boolean => faultOf(word) === undefined;

/** Returns the name, or fails with OL_BUNDLE_BAD_NAME. */
export const checkLambdaName = (name: string): string => {
  const fault = faultOf(name);
  if (fault !== undefined) throw bundleError("OL_BUNDLE_BAD_NAME", `the lambda name ${shown(name)} ${fault}`);
  return name;
};

/** Reads NAME, NAME@TAG or NAME@sha256:<64 hex>; anything else fails with OL_BUNDLE_BAD_NAME. */
export const parseReference = (text: string): Reference => {
  const at = text.indexOf("@");
  if (at < 0) return { name: checkLambdaName(text) };
  const name = checkLambdaName(text.slice(0, at));
  const version = text.slice(at + 1);
  if (DIGEST.test(version)) return { name, digest: version.slice("sha256:".length) };
  if (version.startsWith("sha256:"))
    throw bundleError(
      "OL_BUNDLE_BAD_NAME",
      `the digest in ${shown(text)} must be 64 lower-case hexadecimal digits`,
    );
  const fault = faultOf(version);
  if (fault !== undefined) throw bundleError("OL_BUNDLE_BAD_NAME", `the tag in ${shown(text)} ${fault}`);
  return { name, tag: version };
};

/** The inverse of parseReference. */
export const formatReference = (reference: Reference): string => {
  if (reference.digest !== undefined) return `${reference.name}@sha256:${reference.digest}`;
  return reference.tag === undefined ? reference.name : `${reference.name}@${reference.tag}`;
};
