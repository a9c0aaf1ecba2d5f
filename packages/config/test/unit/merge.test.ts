import { chmodSync, readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { beforeEach, describe, expect, test } from "vitest";

import { mergeTemplate } from "../../src/index.ts";
import { merged } from "../../src/merge.ts";
import { temporaryDirectory } from "./temporary.ts";

let directory: string;
let file: string;

beforeEach(() => {
  directory = temporaryDirectory();
  file = join(directory, "template.json");
  writeFileSync(file, '{"sandbox": "sock", "limits": {"procs": 5, "mem_mb": 60}}');
});

const content = (): unknown => JSON.parse(readFileSync(file, "utf8"));

describe("merging", () => {
  test("objects are merged, null removes, anything else replaces", () => {
    expect(
      merged({ a: 1, b: { c: 1, d: 2 }, e: [1] }, { a: null, b: { c: 3 }, e: [2], f: { g: null } }),
    ).toEqual({
      b: { c: 3, d: 2 },
      e: [2],
      f: {},
    });
  });

  test("a key called __proto__ stays a key", () => {
    const result = merged({}, JSON.parse('{"__proto__": {"x": 1}}') as Record<string, unknown>);
    expect(Object.keys(result)).toEqual(["__proto__"]);
    expect(({} as Record<string, unknown>)["x"]).toBeUndefined();
  });

  test("the template gets the patch and keeps the rest", async () => {
    await mergeTemplate(file, { limits: { procs: 7 }, worker_port: "9000" });
    expect(content()).toEqual({ sandbox: "sock", limits: { procs: 7, mem_mb: 60 }, worker_port: "9000" });
    await mergeTemplate(file, { limits: null, worker_port: null });
    expect(content()).toEqual({ sandbox: "sock" });
  });

  test("the file keeps its mode and nothing else is left beside it", async () => {
    chmodSync(file, 0o600);
    await mergeTemplate(file, { worker_slots: 2 });
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(readdirSync(directory)).toEqual(["template.json"]);
  });

  test.each([
    { sandbxo: "sock" },
    { limits: { procs: "many" } },
    { sandbox: "podman" },
    { worker_slots: 2, x: 1 },
  ])("%j is refused and nothing is written", async (patch) => {
    const before = readFileSync(file, "utf8");
    await expect(mergeTemplate(file, patch)).rejects.toMatchObject({ code: "OL_CONFIG_INVALID" });
    expect(readFileSync(file, "utf8")).toBe(before);
    expect(readdirSync(directory)).toEqual(["template.json"]);
  });

  test("a file that is already wrong is named, and not the patch", async () => {
    writeFileSync(file, '{"sandbxo": "sock"}');
    await expect(mergeTemplate(file, { worker_slots: 2 })).rejects.toThrow(/template\.json: sandbxo/u);
  });

  test.each([
    ["no JSON", "{", "OL_CONFIG_SYNTAX"],
    ["a list", "[]", "OL_CONFIG_SYNTAX"],
    ["empty", "", "OL_CONFIG_SYNTAX"],
  ])("a file that is %s is refused", async (_name, text, code) => {
    writeFileSync(file, text);
    await expect(mergeTemplate(file, {})).rejects.toMatchObject({ code });
    expect(readFileSync(file, "utf8")).toBe(text);
  });

  test("a syntax error names line and column", async () => {
    writeFileSync(file, '{\n  "sandbox": "sock",\n}\n');
    await expect(mergeTemplate(file, {})).rejects.toThrow(/line 3, column 1/u);
  });

  test("a file that does not exist is not made", async () => {
    await expect(mergeTemplate(join(directory, "no.json"), {})).rejects.toMatchObject({
      code: "OL_CONFIG_NOT_FOUND",
    });
    expect(readdirSync(directory)).toEqual(["template.json"]);
  });
});
