import { createHash } from "node:crypto";

const LENGTH = 32;

/**
 * Names a set of packages, whatever their versions: two lambdas with the same key have the same packages to import. `names`
 * are those that a lambda's requirements name, as PEP 503 spells them, in any order. Undefined for none.
 */
export const packageKey = (names: Iterable<string>): string | undefined => {
  const sorted = [...new Set(names)].sort();
  if (sorted.length === 0) return undefined;
  return createHash("sha256").update(sorted.join("\n")).digest("hex").slice(0, LENGTH);
};
