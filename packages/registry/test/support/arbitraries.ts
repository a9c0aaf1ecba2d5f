import * as fc from "fast-check";

/** Characters from all over: what sorts differently in UTF-16, what is dangerous in a path, and what often meets the same again. */
const CHARACTERS = [
  "a",
  "b",
  "/",
  ".",
  "..",
  "-",
  "\u0001",
  "é",
  "\ud7ff",
  "\ue000",
  "\uffff",
  "\u{10000}",
  "\u{10ffff}",
];

/** Short keys that often have beginnings in common. */
export const keys: fc.Arbitrary<string> = fc
  .array(fc.constantFrom(...CHARACTERS), { minLength: 1, maxLength: 5 })
  .map((characters) => characters.join(""));

/** Prefixes, delimiters and markers; often empty. */
export const beginnings: fc.Arbitrary<string> = fc.oneof(
  fc.constant(""),
  fc.constantFrom("/", "a", "b/"),
  keys,
);
