import { describe, expect, test } from "vitest";

import { parseGitSource, withoutPassword } from "../../src/code/git-source.ts";

describe("what --file names", () => {
  test.each([
    ["https://host/a/b.git", "https://host/a/b.git", undefined, ""],
    ["https://host/a/b", "https://host/a/b", undefined, ""],
    ["git+https://host/a.git#v1.2", "https://host/a.git", "v1.2", ""],
    [
      "ssh://git@host:22/a.git#feature/x:handlers/hello",
      "ssh://git@host:22/a.git",
      "feature/x",
      "handlers/hello",
    ],
    ["git@host:a/b.git#main:lambda", "git@host:a/b.git", "main", "lambda"],
    ["file:///srv/a.git#:sub", "file:///srv/a.git", undefined, "sub"],
    [
      "https://host/a#0123456789abcdef0123456789abcdef01234567",
      "https://host/a",
      "0123456789abcdef0123456789abcdef01234567",
      "",
    ],
  ])("%s is a git repository", (text, url, ref, directory) => {
    expect(parseGitSource(text)).toEqual({ url, ref, directory });
  });

  test.each(["./hello", "hello.tar.gz", "/srv/hello", "a:b", "-x", "hello#main"])(
    "%s is a file's path",
    (text) => {
      expect(parseGitSource(text)).toBeUndefined();
    },
  );

  test.each([
    "http://host/a.git",
    "git://host/a.git",
    "ftp://host/a.git",
    "ext::sh -c touch% /tmp/x",
    "EXT::sh",
    "fd::17",
    "https://host/a.tar.gz",
    "https://host/a.git#--upload-pack=touch",
    "https://host/a.git#-b",
    "https://host/a.git#a..b",
    "https://host/a.git#a b",
    "https://host/a.git#main:../x",
    "https://host/a.git#main:/etc",
    "https://host/a.git#a#b",
    "https://host/a.git#a:b:c",
    "https://host/a\nb",
    "file:///a\u0000b",
  ])("%j is refused", (text) => {
    expect(() => parseGitSource(text)).toThrow(expect.objectContaining({ code: "OL_ADMIN_USAGE" }));
  });

  test("is never said with its password", () => {
    expect(withoutPassword("https://me:secret@host/a.git")).toBe("https://host/a.git");
    expect(withoutPassword("https://me:se@cret@host/a.git, https://me:secret@host")).toBe(
      "https://host/a.git, https://host",
    );
    expect(() => parseGitSource("http://me:secret@host/a.git")).toThrow(/^(?:(?!secret).)*$/su);
  });
});
