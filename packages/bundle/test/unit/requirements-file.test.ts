import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { describe, expect, test } from "vitest";

import { readRequirements } from "../../src/index.ts";
import { temporaryDirectory } from "../support/temporary.ts";

const directoryWith = (files: Readonly<Record<string, string | Buffer>>): string => {
  const directory = temporaryDirectory();
  for (const [name, content] of Object.entries(files)) writeFileSync(join(directory, name), content);
  return directory;
};

const refused = (message: RegExp): Error =>
  expect.objectContaining({
    code: "OL_BUNDLE_BAD_REQUIREMENTS",
    message: expect.stringMatching(message) as string,
  }) as Error;

describe("a lambda's requirements", () => {
  test.each(["packages.txt", "requirements.txt"])("are read from %s", async (file) => {
    const directory = directoryWith({ [file]: "requests\n" });
    expect(await readRequirements(directory)).toMatchObject({
      file,
      requirements: [{ name: "requests" }],
      digest: expect.stringMatching(/^[0-9a-f]{64}$/u) as string,
    });
  });

  test.each<Readonly<Record<string, string>>>([
    {},
    { "packages.txt": "" },
    { "packages.txt": "\uFEFF\r\n# none\n" },
    { "packages.txt": "", "requirements.txt": "# none" },
  ])("are none where nothing names any: %j", async (files) => {
    expect(await readRequirements(directoryWith(files))).toBeUndefined();
  });

  test("may be in both files if both mean the same", async () => {
    const directory = directoryWith({
      "packages.txt": "bs4:beautifulsoup4\nrequests>=2\n",
      "requirements.txt": "requests >= 2\nBeautifulSoup4 # bs4\n",
    });
    expect(await readRequirements(directory)).toMatchObject({
      file: "packages.txt",
      requirements: [{ modules: ["bs4"] }, {}],
    });
  });

  test.each([
    ["requests\n", "requests>2\n", '"requests" is only in packages.txt'],
    ["", "requests\n", '"requests" is only in requirements.txt'],
  ])("are refused if the two files differ: %j and %j", async (packages, requirements, example) => {
    const directory = directoryWith({ "packages.txt": packages, "requirements.txt": requirements });
    await expect(readRequirements(directory)).rejects.toThrowError(
      refused(new RegExp(`^packages\\.txt and requirements\\.txt do not .*: ${example}; delete one`, "u")),
    );
  });

  test("are refused by file and line", async () => {
    const directory = directoryWith({ "requirements.txt": "ok\n-e .\n" });
    await expect(readRequirements(directory)).rejects.toThrowError(refused(/^requirements\.txt:2: "-e \."/u));
  });

  test("may have URLs only if that is allowed", async () => {
    const line = `x @ https://example.org/x-1-py3-none-any.whl#sha256=${"a".repeat(64)}`;
    const directory = directoryWith({ "requirements.txt": line });
    await expect(readRequirements(directory)).rejects.toThrowError(refused(/names a URL/u));
    expect((await readRequirements(directory, { allowUrls: true }))?.requirements).toMatchObject([
      { text: line },
    ]);
  });

  test.each<[string, (path: string) => void, RegExp]>([
    ["a link", (path) => symlinkSync("/etc/hostname", path), /symbolic link; copy the file/u],
    ["a directory", (path) => mkdirSync(path), /not a regular file/u],
    [
      "UTF-16, as PowerShell writes it",
      (path) => writeFileSync(path, "\uFEFFx\n", "utf16le"),
      /not UTF-8 text/u,
    ],
    ["larger than 64 KiB", (path) => writeFileSync(path, "#".repeat(100_000)), /larger than 64 KiB/u],
    [
      "larger than 64 KiB, cut within a character",
      (path) => writeFileSync(path, `#${"é".repeat(50_000)}`),
      /larger than 64 KiB/u,
    ],
  ])("in a file that is %s are refused", async (_name, make, why) => {
    const directory = temporaryDirectory();
    make(join(directory, "requirements.txt"));
    await expect(readRequirements(directory)).rejects.toThrowError(
      refused(new RegExp(`^requirements\\.txt:1: .*${why.source}`, "u")),
    );
  });
});
