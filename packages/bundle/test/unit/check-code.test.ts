import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { isOlError } from "@ol/common";
import { beforeEach, describe, expect, test } from "vitest";

import { checkCode } from "../../src/index.ts";
import { temporaryDirectory } from "../support/temporary.ts";

let code: string;

beforeEach(() => {
  code = temporaryDirectory();
});

const write = (path: string, content = ""): void => {
  mkdirSync(join(code, path, ".."), { recursive: true });
  writeFileSync(join(code, path), content);
};

/** `CODE: message`, or the entry. */
const verdict = async (): Promise<string> => {
  try {
    return (await checkCode(code)).entry;
  } catch (error) {
    if (!isOlError(error)) throw error;
    return `${error.code}: ${error.message}`;
  }
};

describe("a lambda's code", () => {
  test.each([
    ["f.py", ["f.py"], ""],
    ["lambda_func.py", ["lambda_func.py"], ""],
    ["f.py", ["lambda_func.py", "f.py"], ""],
    ["app.py", ["f.py", "app.py"], "environment: {OL_ENTRY_FILE: app.py}"],
    ["src/app.py", ["src/app.py"], "environment: {OL_ENTRY_FILE: src/app.py}"],
    ["f.py", ["f.py"], 'environment: {OL_ENTRY_FILE: ""}'],
  ])("begins with %s if it has %j", async (entry, files, config) => {
    for (const file of files) write(file);
    if (config !== "") write("ol.yaml", config);
    expect(await verdict()).toBe(entry);
  });

  test("is told with what its files say", async () => {
    write("f.py");
    write("ol.yaml", "limits: {mem_mb: 99}\n");
    write("packages.txt", "requests\n");
    const { config, requirements } = await checkCode(code);
    expect(config.limits.memoryMb).toBe(99);
    expect(requirements?.requirements.map(({ name }) => name)).toEqual(["requests"]);
  });

  test("without a file to begin with is refused, and both names are told", async () => {
    write("main.py");
    expect(await verdict()).toBe(
      "OL_BUNDLE_NO_HANDLER: there is no f.py and no lambda_func.py in the lambda's code; name another file by OL_ENTRY_FILE in the environment of ol.yaml",
    );
  });

  test("that is one directory too deep is refused with the command that packs it rightly", async () => {
    write("hello/f.py");
    expect(await verdict()).toMatch(
      /; f\.py is in hello\/: pack what is in it, with: tar -C hello -czf hello\.tar\.gz \.$/u,
    );
  });

  test.each(["/etc/passwd", "../f.py", "missing.py", "lib", "link.py"])(
    "whose ol.yaml names %s is refused",
    async (named) => {
      write("f.py");
      mkdirSync(join(code, "lib"));
      symlinkSync("/etc/passwd", join(code, "link.py"));
      write("ol.yaml", `environment:\n  OL_ENTRY_FILE: ${named}\n`);
      expect(await verdict()).toContain(
        `OL_BUNDLE_NO_HANDLER: ol.yaml: environment.OL_ENTRY_FILE names "${named}"`,
      );
    },
  );

  test.each([
    ["ol.yaml", "limts: {}\n", "OL_BUNDLE_BAD_CONFIG: ol.yaml:1: limts"],
    ["packages.txt", "requests\n-e .\n", "OL_BUNDLE_BAD_REQUIREMENTS: packages.txt:2: "],
    ["requirements.txt", "-r other.txt\n", "OL_BUNDLE_BAD_REQUIREMENTS: requirements.txt:1: "],
    ["requirements.txt", "./lib.whl\n", "OL_BUNDLE_BAD_REQUIREMENTS: requirements.txt:1: "],
  ])("with a mistake in %s is refused by its line", async (file, content, beginning) => {
    write("f.py");
    write(file, content);
    expect((await verdict()).startsWith(beginning)).toBe(true);
  });
});
