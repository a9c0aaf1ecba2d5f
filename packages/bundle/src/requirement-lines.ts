/** A line as it counts: without comment, joined with those that it goes on in. */
export interface RequirementLine {
  /** Of its beginning, from 1. */
  readonly number: number;
  /** Never empty, no space around it. */
  readonly text: string;
}

const withoutBackslashes = (line: string): string => {
  let end = line.length;
  while (line[end - 1] === "\\") end -= 1;
  return line.slice(0, end);
};

/** Takes a requirements file apart as pip does: comments, backslashes at ends of lines. */
export const requirementLines = (text: string): RequirementLine[] => {
  const lines: RequirementLine[] = [];
  let parts: string[] = [];
  let number = 1;
  const finish = (): void => {
    const joined = parts
      .join("")
      .replace(/(?:^|\s)#.*$/u, "")
      .trim();
    if (joined !== "") lines.push({ number, text: joined });
    parts = [];
  };
  for (const [index, line] of text
    .replace(/^\uFEFF/u, "")
    .split(/\r\n|\n|\r/u)
    .entries()) {
    if (parts.length === 0) number = index + 1;
    // A comment ends the line that it is the last part of, and its own backslash means nothing.
    const comment = /^\s*#/u.test(line);
    parts.push(comment ? ` ${line}` : withoutBackslashes(line));
    if (comment || !line.endsWith("\\")) finish();
  }
  finish();
  return lines;
};
