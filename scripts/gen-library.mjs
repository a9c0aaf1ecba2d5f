// Writes docs/library/ from the doc comments of @ol/sandbox and @ol/lambda, page by page as lib/library-pages.mjs lists them.
// With --check it writes nothing and fails if a page is not what the sources say. It fails too if a class that is exported has
// no page, if an option has no description, if one that may be left out does not say its default ("Default ..."), and if a
// number does not say what happens at it ("At the limit: ...").
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { Declarations } from "./lib/declarations.mjs";
import { PAGES } from "./lib/library-pages.mjs";
import { problemsOf, renderPage } from "./lib/library-text.mjs";
import { byText, isMain, report, repositoryRoot } from "./lib/workspace.mjs";

const DIRECTORY = join(repositoryRoot, "docs/library");
/** Written by hand; lists the others. */
const INDEX = "README.md";
const PACKAGES = { "@ol/common": "common", "@ol/sandbox": "sandbox", "@ol/lambda": "lambda" };

/** Classes that an index exports and no page is about. */
const missingPages = (declarations) => {
  const described = new Set(PAGES.map((page) => page.class));
  return declarations
    .exportedClasses()
    .filter((name) => !described.has(name))
    .map((name) => `${name} is exported and has no page in scripts/lib/library-pages.mjs`);
};

const listed = async (name) => {
  const index = await readFile(join(DIRECTORY, INDEX), "utf8").catch(() => "");
  return index.includes(`(${name})`) ? [] : [`docs/library/${INDEX} does not list ${name}`];
};

const main = async () => {
  const declarations = Declarations.open(repositoryRoot, PACKAGES);
  const problems = missingPages(declarations);
  const texts = new Map();
  for (const page of PAGES) {
    problems.push(...problemsOf(page, declarations));
    texts.set(`${page.file}.md`, renderPage(page, declarations));
  }
  declarations.close();
  await mkdir(DIRECTORY, { recursive: true });
  const check = process.argv.includes("--check");
  for (const [name, text] of texts) {
    problems.push(...(await listed(name)));
    if (!check) await writeFile(join(DIRECTORY, name), text);
    else if ((await readFile(join(DIRECTORY, name), "utf8").catch(() => "")) !== text)
      problems.push(`docs/library/${name} is out of date; run: pnpm run docs`);
  }
  for (const name of (await readdir(DIRECTORY)).toSorted(byText)) {
    if (texts.has(name) || name === INDEX) continue;
    if (check) problems.push(`docs/library/${name} is about nothing any more; run: pnpm run docs`);
    else await rm(join(DIRECTORY, name));
  }
  report("library", problems);
};

if (isMain(import.meta.url)) await main();
