import { execFileSync } from "node:child_process";
import { symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { expect, test } from "vitest";

import { readLambdaConfig } from "../../src/index.ts";
import { temporaryDirectory } from "../support/temporary.ts";

test("a directory without ol.yaml has an empty configuration", () => {
  expect(readLambdaConfig(temporaryDirectory())).toEqual({ environment: {}, limits: {} });
});

test("ol.yaml is read from the directory", () => {
  const directory = temporaryDirectory();
  writeFileSync(join(directory, "ol.yaml"), "network: none\n");
  expect(readLambdaConfig(directory).network).toBe("none");
});

test.each<[string, (path: string) => void]>([
  ["a link", (path) => symlinkSync("/etc/hostname", path)],
  ["a FIFO", (path) => void execFileSync("mkfifo", [path])],
  ["a directory", (path) => void execFileSync("mkdir", [path])],
  ["not UTF-8", (path) => writeFileSync(path, Buffer.from([0xff, 0xfe, 0x00]))],
  ["larger than 64 KiB", (path) => writeFileSync(path, "#".repeat(100_000))],
])("an ol.yaml that is %s is refused in one line", (_name, make) => {
  const directory = temporaryDirectory();
  make(join(directory, "ol.yaml"));
  expect(() => readLambdaConfig(directory)).toThrowError(
    expect.objectContaining({
      code: "OL_BUNDLE_BAD_CONFIG",
      message: expect.stringMatching(/^ol\.yaml:1: [^\n]+$/u) as string,
    }) as Error,
  );
});
