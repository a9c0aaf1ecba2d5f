// Writes docs/errors.md from every package's table of errors (`*_ERRORS`, built). With --check it writes
// nothing and fails if the page is not what the tables say.
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

import { byText, isMain, listPackages, readIfExists, report, repositoryRoot } from "./lib/workspace.mjs";

const page = join(repositoryRoot, "docs/errors.md");

/** `@ol/registry-client` → `OL_REGISTRY_CLIENT_`, `ol-admin` → `OL_ADMIN_`. */
const prefixOf = (name) => {
  const short = name.replace(/^(@ol\/|ol-)/, "");
  return `OL_${short.toUpperCase().replaceAll("-", "_")}_`;
};

/** The tables that a package's build exports: `[{ package, code, causedBy, status, about }]`. */
const readTables = async (pkg) => {
  const built = join(pkg.directory, "dist/errors.js");
  const source = join(pkg.directory, "src/errors.ts");
  if ((await readIfExists(source)) === undefined) return [];
  if ((await readIfExists(built)) === undefined) throw new Error(`${pkg.path} is not built; run: pnpm build`);
  const module = await import(pathToFileURL(built).href);
  const rows = [];
  for (const [name, table] of Object.entries(module)) {
    if (!name.endsWith("_ERRORS")) continue;
    for (const [code, row] of Object.entries(table)) rows.push({ package: pkg.name, code, ...row });
  }
  return rows;
};

/** What is wrong with the tables themselves. */
export const problemsOf = (rows) => {
  const problems = [];
  const seen = new Set();
  for (const row of rows) {
    if (seen.has(row.code)) problems.push(`${row.code} is declared twice`);
    seen.add(row.code);
    const prefix = prefixOf(row.package);
    if (!row.code.startsWith(prefix))
      problems.push(`${row.code} of ${row.package} must begin with ${prefix}`);
    if (!(row.status >= 400 && row.status <= 599)) problems.push(`${row.code} has the status ${row.status}`);
    if (!/[.?]$/.test(row.about)) problems.push(`${row.code}: its description is not a sentence`);
  }
  return problems;
};

const heading = `# Errors

<!-- Made by scripts/gen-errors.mjs from the packages' tables. Do not edit: run \`pnpm run docs\`. -->

Every error has a code that does not change. Programs decide by the code; the message is for people and may
change. "Who" says who can mend it: **you** (the input, the configuration or the lambda is at fault) or the
**system** (this machine or this installation is). "HTTP" is the status of a worker's reply when the error ends
a request; errors that never end one have a status too, which then says nothing.
`;

const escapeCell = (text) => text.replaceAll("|", "\\|").replaceAll("\n", " ");

/** The page's text. */
export const renderErrors = (rows) => {
  const parts = [heading];
  for (const name of [...new Set(rows.map((row) => row.package))].toSorted(byText)) {
    parts.push(`## ${name}\n\n| code | who | HTTP | when, and what to do |\n|---|---|---|---|`);
    for (const row of rows.filter((candidate) => candidate.package === name))
      parts.push(
        `| \`${row.code}\` | ${row.causedBy === "user" ? "you" : "system"} | ${row.status} | ${escapeCell(row.about)} |`,
      );
    parts.push("");
  }
  return parts.join("\n");
};

const main = async () => {
  const rows = [];
  for (const pkg of await listPackages()) rows.push(...(await readTables(pkg)));
  const problems = problemsOf(rows);
  const text = renderErrors(rows);
  if (process.argv.includes("--check")) {
    const current = await readFile(page, "utf8").catch(() => "");
    if (current !== text) problems.push("docs/errors.md is out of date; run: pnpm run docs");
  } else if (problems.length === 0) await writeFile(page, text);
  report("errors", problems);
};

if (isMain(import.meta.url)) await main();
