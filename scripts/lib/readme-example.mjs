// The examples in a package's README, as somebody would follow them:
// - a block after a line that is only "`FILE`:" is that file;
// - a block of "ts" has its types checked; if the line "prints" and a block without a language follow it, it is run, and that is
//   what it must print;
// - a block of "sh" is typed into a shell, with what must come out in a comment at a command's end.
// Everything else is for reading only.

const fence = /^```(\w*)\s*$/;
const named = /^`([\w./-]+)`:$/;
const prints = /^prints:?$/;
const expectation = /\s+# (".*")$/;

/** A path that stays where the example is tried. */
const isWithin = (path) => !path.startsWith("/") && !path.split("/").includes("..");

/** `{ blocks: [{ language, before, lines }], problem }`; `before` is the line before it, "" directly behind another. */
const blocksIn = (markdown) => {
  const lines = markdown.split("\n");
  const blocks = [];
  let before = "";
  for (let at = 0; at < lines.length; at += 1) {
    const language = fence.exec(lines[at])?.[1];
    if (language === undefined) {
      if (lines[at].trim() !== "") before = lines[at].trim();
      continue;
    }
    const end = lines.indexOf("```", at + 1);
    if (end < 0) return { blocks, problem: `the block in line ${at + 1} has no end` };
    blocks.push({ language, before, lines: lines.slice(at + 1, end) });
    before = "";
    at = end;
  }
  return { blocks, problem: undefined };
};

/**
 * `{ files: [{ path, text }], commands: [{ script, expected: [line], output }], problems }`, to be followed in this order.
 * A program that is run is compiled first: PATH.ts becomes PATH.js. `output` is all that the command must print, if the README
 * says it.
 */
export const exampleIn = (markdown) => {
  const { blocks, problem } = blocksIn(markdown);
  const files = [];
  const commands = [];
  const problems = problem === undefined ? [] : [problem];
  for (const [at, { language, before, lines }] of blocks.entries()) {
    const text = `${lines.join("\n")}\n`;
    const path = named.exec(before)?.[1];
    if (path !== undefined) {
      if (isWithin(path)) files.push({ path, text });
      else problems.push(`${path} is not within the example`);
    } else if (language === "ts") {
      files.push({ path: `block-${at}.ts`, text });
      const next = blocks[at + 1];
      if (next?.language === "" && prints.test(next.before))
        commands.push({
          script: `node block-${at}.js\n`,
          expected: [],
          output: `${next.lines.join("\n")}\n`,
        });
    } else if (language === "sh") {
      const expected = lines.flatMap((line) => expectation.exec(line)?.[1] ?? []);
      commands.push({ script: text, expected, output: undefined });
    }
  }
  return { files, commands, problems };
};

/** The ports that the READMEs name, each replaced by a free one: a machine may have others at work. */
export const withPorts = (text, ports) =>
  text.replaceAll(/\b\d{4}\b/g, (number) => ports.get(Number(number))?.toString() ?? number);

/** What is wrong with what a command printed; undefined if nothing is. */
export const deviation = ({ expected, output }, stdout) => {
  if (output !== undefined && stdout !== output)
    return `printed ${JSON.stringify(stdout)} and not ${JSON.stringify(output)}`;
  let from = 0;
  for (const line of expected) {
    const at = stdout.indexOf(line, from);
    if (at < 0) return `printed ${JSON.stringify(stdout)}, in which ${line} is missing`;
    from = at + line.length;
  }
  return undefined;
};
