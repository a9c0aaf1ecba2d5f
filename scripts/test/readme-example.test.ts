import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { describe, expect, onTestFinished, test } from "vitest";

import { deviation, exampleIn, withPorts } from "../lib/readme-example.mjs";
import { tryExamples } from "../lib/try-examples.mjs";

const README = `# x

\`lambdas/f.py\`:

\`\`\`python
def f(event): pass
\`\`\`

\`\`\`ts
console.log(1);
\`\`\`

prints

\`\`\`
1
\`\`\`

\`\`\`ts
export const shown = 1;
\`\`\`

\`\`\`js
only.to.read();
\`\`\`

\`\`\`sh
echo '"a"' # "a"
sleep 0 # takes a while
\`\`\`

\`\`\`
no result of anything
\`\`\`
`;

describe("the example of a README", () => {
  test("is its named files, its programs with what they print, and its shell commands with what they are said to", () => {
    expect(exampleIn(README)).toEqual({
      files: [
        { path: "lambdas/f.py", text: "def f(event): pass\n" },
        { path: "block-1.ts", text: "console.log(1);\n" },
        { path: "block-3.ts", text: "export const shown = 1;\n" },
      ],
      commands: [
        { script: "node block-1.js\n", expected: [], output: "1\n" },
        { script: 'echo \'"a"\' # "a"\nsleep 0 # takes a while\n', expected: ['"a"'], output: undefined },
      ],
      problems: [],
    });
  });

  test.each([
    ["`../x`:\n\n```js\n```\n", ["../x is not within the example"]],
    ["`/x`:\n\n```js\n```\n", ["/x is not within the example"]],
    ["a\n\n```sh\necho\n", ["the block in line 3 has no end"]],
  ])("%j is wrong", (markdown, problems) => {
    expect(exampleIn(markdown).problems).toEqual(problems);
  });

  test("has other ports than the usual ones when it is tried", () => {
    expect(withPorts("localhost:8080 18080 8081", new Map([[8080, 1234]]))).toBe("localhost:1234 18080 8081");
  });

  test.each([
    [{ expected: ['"a"', '"b"'], output: undefined }, '"b" "a"', /in which "b" is missing$/u],
    [{ expected: [], output: "1\n" }, "2\n", /^printed "2\\n" and not "1\\n"$/u],
  ])("deviates if it prints something else: %j", (command, stdout, message) => {
    expect(deviation(command, stdout)).toMatch(message);
  });

  test("does not deviate if it prints what it should", () => {
    expect(deviation({ expected: ['"a"', '"a"'], output: undefined }, 'x"a"y"a"')).toBeUndefined();
  });
});

/** What is said of packages with these READMEs. */
const tried = async (readmes: readonly string[]): Promise<readonly string[]> => {
  const directory = mkdtempSync(join(tmpdir(), "ol-readme-"));
  onTestFinished(() => void execFileSync("rm", ["-rf", "--", directory]));
  const packed = readmes.map((text, at) => {
    const place = join(directory, `p${at}`);
    mkdirSync(place);
    writeFileSync(join(place, "README.md"), text);
    return { pkg: { name: `p${at}`, path: `packages/p${at}`, directory: place } };
  });
  const folder = join(directory, "folder");
  mkdirSync(folder);
  writeFileSync(join(folder, "package.json"), '{"type": "module"}');
  return tryExamples(folder, packed);
};

const program = (code: string, output: string): string =>
  `\`\`\`ts\n${code}\n\`\`\`\n\nprints\n\n\`\`\`\n${output}\n\`\`\`\n`;

describe("READMEs that are followed", () => {
  test("are right if every example compiles, ends well and prints what it should", async () => {
    expect(await tried([program("console.log(1);", "1"), '```sh\necho \'"a"\' # "a"\n```\n'])).toEqual([]);
  }, 60_000);

  test("are found out if one does not", async () => {
    const problems = await tried([
      "# nothing\n",
      program('const a: number = "x";\nconsole.log(a);', "x"),
      program("console.log(1);", "2"),
      "```sh\nfalse\ntrue\n```\n",
      '```sh\necho b # "a"\n```\n',
    ]);
    expect(problems).toEqual([
      "README of p0 has no example to follow",
      expect.stringMatching(/have wrong types:\n.*block-0\.ts\(1,7\): error TS2322/u) as string,
      expect.stringMatching(/^README of p2: its example printed "1\\n" and not "2\\n"/u) as string,
      expect.stringMatching(/^README of p3: its example exits with 1/u) as string,
      expect.stringMatching(/^README of p4: its example printed "b\\n", in which "a" is missing/u) as string,
    ]);
  }, 60_000);
});
