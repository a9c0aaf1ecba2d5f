// Finds what a source file imports, without a parser: TypeScript 7 has none that JavaScript can call.

/** Blanks comments out, so that an import in an example does not count. Strings keep their content. */
export const withoutComments = (source) =>
  source.replaceAll(
    /("(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`)|\/\*[\s\S]*?\*\/|(?<=^|\s)\/\/[^\n]*/g,
    (match, text) => text ?? " ",
  );

const patterns = [
  /(?:^|[;}\n])\s*(?:import|export)\b[^"';]*?\bfrom\s*["']([^"']+)["']/g,
  /(?:^|[;}\n])\s*import\s*["']([^"']+)["']/g,
  /\bimport\s*\(\s*["']([^"']+)["']/g,
  /\b(?:require|require\.resolve|import\.meta\.resolve)\s*\(\s*["']([^"']+)["']/g,
];

/** The module names that `source` imports, each once. */
export const importsOf = (source) => {
  const text = withoutComments(source);
  const found = new Set();
  for (const pattern of patterns) for (const match of text.matchAll(pattern)) found.add(match[1]);
  return [...found];
};

/** `@ol/common/x` → `@ol/common`, `yargs/helpers` → `yargs`; undefined for relative and node: imports. */
export const packageOf = (specifier) => {
  if (specifier.startsWith(".") || specifier.startsWith("/") || specifier.startsWith("node:"))
    return undefined;
  const parts = specifier.split("/");
  return specifier.startsWith("@") ? parts.slice(0, 2).join("/") : parts[0];
};
