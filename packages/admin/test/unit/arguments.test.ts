import { describe, expect, test } from "vitest";

import { normalize } from "../../src/cli/arguments.ts";
import type { Command } from "../../src/cli/command.ts";
import { formatAge, escapeControls, table } from "../../src/text.ts";

const command: Command = {
  name: "act",
  about: "for tests",
  positionals: [{ name: "name", about: "a name", required: true }],
  options: {
    cluster: { kind: "text", value: "DIR", about: "" },
    "num-workers": { kind: "text", value: "N", about: "" },
    data: { kind: "text", alias: "d", value: "JSON", about: "" },
    follow: { kind: "flag", alias: "f", about: "" },
  },
  run: () => Promise.resolve(0),
};

describe("the command line", () => {
  test.each([
    [["--cluster=X", "n"]],
    [["--cluster", "X", "n"]],
    [["-cluster=X", "n"]],
    [["-cluster", "X", "n"]],
    [["n", "-cluster", "X"]],
  ])("reads %j as the cluster X", (tokens) => {
    expect(normalize(tokens, command)).toEqual(["--cluster=X", "--name=n"]);
  });

  test.each([
    [
      ["-num-workers=3", "n"],
      ["--num-workers=3", "--name=n"],
    ],
    [
      ["-num_workers", "3", "n"],
      ["--num-workers=3", "--name=n"],
    ],
    [
      ["n", "-d", '{"a": 1}'],
      ['--data={"a": 1}', "--name=n"],
    ],
    [
      ["n", '-d{"a": 1}'],
      ['--data={"a": 1}', "--name=n"],
    ],
    [
      ["n", "-d", "-"],
      ["--data=-", "--name=n"],
    ],
    [
      ["n", "-d", "-5"],
      ["--data=-5", "--name=n"],
    ],
    [
      ["n", "--data=a=b"],
      ["--data=a=b", "--name=n"],
    ],
    [
      ["n", "--data", "two\nlines"],
      ["--data=two\nlines", "--name=n"],
    ],
    [
      ["n", "-f"],
      ["--follow=true", "--name=n"],
    ],
    [
      ["n", "--follow=false"],
      ["--follow=false", "--name=n"],
    ],
    [["--", "-n"], ["--name=-n"]],
  ])("reads %j as %j", (tokens, expected) => {
    expect(normalize(tokens, command)).toEqual(expected);
  });

  test.each([
    [["n", "--clutser=X"], 'act has no option "--clutser"; did you mean --cluster?'],
    [["n", "-x"], 'act has no option "-x"; see: npx ol-admin act --help'],
    [["n", "--cluster"], "--cluster needs a value: --cluster=DIR"],
    [["n", "--cluster="], "--cluster needs a value: --cluster=DIR"],
    [["n", "--follow=maybe"], "--follow takes no value"],
    [["n", "m"], 'act does not take "m"; see: npx ol-admin act --help'],
    [[], "act needs name: a name; see: npx ol-admin act --help"],
  ])("refuses %j in one line", (tokens, message) => {
    expect(() => normalize(tokens, command)).toThrowError(
      expect.objectContaining({ code: "OL_ADMIN_USAGE", message }) as Error,
    );
  });
});

describe("text", () => {
  test("control characters of strangers are shown and not obeyed", () => {
    expect(escapeControls("a\u001b[31m\r\n\tb\u009b\u2028\u202e")).toBe(
      "a\\x1b[31m\\x0d\\x0a\tb\\x9b\\u2028\\u202e",
    );
  });

  test.each([
    [0, "0s"],
    [59_999, "59s"],
    [60_000, "1m"],
    [7_200_000, "2h"],
    [200_000_000, "2d"],
    [-5, "0s"],
  ])("%i ms are %s", (ms, expected) => {
    expect(formatAge(ms)).toBe(expected);
  });

  test("tables have their columns below one another", () => {
    expect(
      table([
        ["a", "bb", "c"],
        ["aaa", "b", ""],
      ]),
    ).toEqual(["a    bb  c", "aaa  b"]);
  });
});
