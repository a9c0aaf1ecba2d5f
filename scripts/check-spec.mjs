// Each promise in SPECIFICATION.md names the test that holds it. This checks that the file and the title are
// there: a promise whose test was renamed or deleted is found out at once.
import { readFile } from "node:fs/promises";
import { join } from "node:path";

import { isMain, readIfExists, report, repositoryRoot } from "./lib/workspace.mjs";

const promiseLine = /^- \*\*([A-Z]+\d+)\*\* (.+)$/;
const heldBy = /^ {2}- `([^`]+)`: (.+)$/;

/** `[{ id, text, tests: [{ file, title }], line }]`; a line that is neither is a problem. */
export const parseSpecification = (text) => {
  const promises = [];
  const problems = [];
  text.split("\n").forEach((line, index) => {
    const begun = promiseLine.exec(line);
    if (begun !== null) promises.push({ id: begun[1], text: begun[2], tests: [], line: index + 1 });
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

// How a test begins: it("..."), test.each([...])("..."), or an entry of a suite that is data: title: "...".
const opening = /(?:\b(?:it|test)(?:\.each\([\s\S]*\)|\.concurrent)?\(|\btitle:)\s*$/;
// Room for the longest table before an `each`.
const openingChars = 4000;

/** Whether the source declares a test of exactly this title; a Python test goes by its function's name. */
export const declaresTest = (source, title, file) => {
  if (file.endsWith(".py")) return /^\w+$/.test(title) && source.includes(`def ${title}(`);
  return spellings(title).some((spelled) => {
    for (let at = source.indexOf(spelled); at >= 0; at = source.indexOf(spelled, at + 1))
      if (opening.test(source.slice(Math.max(0, at - openingChars), at))) return true;
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
