import { describe, expect, test } from "vitest";

import { formatReference, isLambdaName, parseReference } from "../../src/index.ts";

describe("a reference", () => {
  test("is a name, a name with a tag, or a name with a digest", () => {
    const digest = "0123456789abcdef".repeat(4);
    expect(parseReference("hello")).toEqual({ name: "hello" });
    expect(parseReference("my.fn-2_x@v1.2")).toEqual({ name: "my.fn-2_x", tag: "v1.2" });
    expect(parseReference(`a@sha256:${digest}`)).toEqual({ name: "a", digest });
  });

  test("is written back as it was read", () => {
    for (const text of ["hello", "hello@v1", `hello@sha256:${"a".repeat(64)}`])
      expect(formatReference(parseReference(text))).toBe(text);
  });

  test.each([
    "",
    "@v1",
    "a@",
    "../etc",
    "a/b",
    ".hidden",
    "-flag",
    "a b",
    "a\nb",
    "a\0b",
    "naïve",
    "hello.tar.gz",
    "a@.x",
    "a@b@c",
    "a@x.tar.gz",
    "a".repeat(129),
    "a@sha256:",
    `a@sha256:${"A".repeat(64)}`,
    `a@sha256:${"a".repeat(63)}`,
    "hello\n",
  ])("%j is refused as a bad name with status 400", (text) => {
    expect(() => parseReference(text)).toThrowError(
      expect.objectContaining({ code: "OL_BUNDLE_BAD_NAME", status: 400 }) as Error,
    );
  });

  test("a refused name is quoted, escaped and shortened in the message", () => {
    expect(() => parseReference(`${"x".repeat(500)}\u001b[31m`)).toThrow(/^[\x20-\x7e]{1,200}$/u);
  });

  test("a name of 128 characters is the longest", () => {
    expect(isLambdaName("a".repeat(128))).toBe(true);
    expect(isLambdaName("a".repeat(129))).toBe(false);
  });
});
