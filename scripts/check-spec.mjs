// Each promise in SPECIFICATION.md names the test that holds it. This checks that the file and the title are
// there: a promise whose test was renamed or deleted is found out at once.
import { readFile } from "node:fs/promises";
import { join } from "node:path";

import { isMain, readIfExists, report, repositoryRoot } from "./lib/workspace.mjs";

const promise = /^- \*\*([A-Z]+\d+)\*\* (.+)$/;
const heldBy = /^ {2}- `([^`]+)`: (.+)$/;

/** `[{ id, text, tests: [{ file, title }], line }]`; a line that is neither is a problem. */
export const parseSpecification = (text) => {
  const promises = [];
  const problems = [];
  text.split("\n").forEach((line, index) => {
    const opening = promise.exec(line);
    if (opening !== null) promises.push({ id: opening[1], text: opening[2], tests: [], line: index + 1 });
    else if (/^\s*- /.test(line)) {
      const test = heldBy.exec(line);
      const current = promises.at(-1);
      if (test === null || current === undefined)
        problems.push(`line ${index + 1} is neither "- **ID** promise" nor "  - \`file\`: title"`);
      else current.tests.push({ file: test[1], title: test[2] });
    }
  });
  return { promises, problems };
};

/** What `it("...")` would have to say in a source file: the title with quotes escaped as people write them. */
const spellings = (title) => [
  `"${title.replaceAll('"', '\\"')}"`,
  `'${title.replaceAll("'", "\\'")}'`,
  `\`${title}\``,
];

/** Whether the source declares a test (or a Python test with that description) of exactly this title. */
export const declaresTest = (source, title, file) => {
  if (file.endsWith(".py")) return new RegExp(`def ${title}\\(`).test(source);
  return spellings(title).some((spelled) => {
    let at = source.indexOf(spelled);
    while (at >= 0) {
      if (
        /\b(?:it|test)(?:\.each\([\s\S]*?\)|\.concurrent)?\(\s*$/.test(
          source.slice(Math.max(0, at - 2000), at),
        )
      )
        return true;
      at = source.indexOf(spelled, at + 1);
    }
    return false;
  });
};

/** Every way in which the specification does not match the tests below `root`. */
export const checkSpecification = async (text, root = repositoryRoot) => {
  const { promises, problems } = parseSpecification(text);
  const seen = new Set();
  const sources = new Map();
  for (const { id, tests, line } of promises) {
    if (seen.has(id)) problems.push(`line ${line}: ${id} is there twice`);
    seen.add(id);
    if (tests.length === 0) problems.push(`line ${line}: ${id} names no test`);
    for (const { file, title } of tests) {
      if (!sources.has(file)) sources.set(file, await readIfExists(join(root, file)));
      const source = sources.get(file);
      if (source === undefined) problems.push(`line ${line}: ${id} names ${file}, which does not exist`);
      else if (!declaresTest(source, title, file))
        problems.push(`line ${line}: ${id}: ${file} has no test named: ${title}`);
    }
  }
  if (promises.length === 0) problems.push("no promise found");
  return problems;
};

if (isMain(import.meta.url))
  report("spec", await checkSpecification(await readFile(join(repositoryRoot, "SPECIFICATION.md"), "utf8")));
