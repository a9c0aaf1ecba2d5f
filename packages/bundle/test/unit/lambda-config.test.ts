import { describe, expect, test } from "vitest";

import { parseLambdaConfig } from "../../src/index.ts";

const problemsOf = (text: string): string[] => {
  try {
    parseLambdaConfig(text, "ol.yaml");
  } catch (error) {
    expect(error).toMatchObject({ code: "OL_BUNDLE_BAD_CONFIG" });
    return (error as Error).message.split("\n");
  }
  return [];
};

describe("ol.yaml", () => {
  test("every key that works is read", () => {
    const text = `# how hello wants to run
environment:
  GREETING: "Hello there"
  PORT: 8080
  VERSION: 1.10
  DEBUG: false
limits:
  mem_mb: 128
  runtime_sec: 2.5
  procs: 4
network: none
runtime: python3
reuse-sandbox: false
min_instances: 0
max_instances: 4
queue: 20
concurrency: 8
triggers:
  http:
    - method: GET
    - method: post
    - method: GET
`;
    expect(parseLambdaConfig(text, "ol.yaml")).toEqual({
      environment: { GREETING: "Hello there", PORT: "8080", VERSION: "1.10", DEBUG: "false" },
      limits: { memoryMb: 128, runtimeSec: 2.5, procs: 4 },
      network: "none",
      methods: ["GET", "POST"],
      reuseSandbox: false,
      minInstances: 0,
      maxInstances: 4,
      queue: 20,
      concurrency: 8,
    });
  });

  test.each([
    ["reuse-sandbox: 1", "reuse-sandbox: must be true or false, not 1"],
    ["reuse_sandbox: true", 'reuse_sandbox: is not a known key; did you mean "reuse-sandbox"?'],
    ["min_instances: -1", "min_instances: must be a whole number from 0 to 1000, not -1"],
    ["max_instances: 0", "max_instances: must be a whole number from 1 to 1000, not 0"],
    ["queue: 1.5", "queue: must be a whole number from 0 to 100000, not 1.5"],
    ["concurrency: many", 'concurrency: must be a whole number from 1 to 1000, not "many"'],
    ["concurrency:", "concurrency: must be a whole number from 1 to 1000, and it is not one"],
  ])("%j is refused with what it must be", (text, message) => {
    expect(problemsOf(text)).toEqual([`ol.yaml:1: ${message}`]);
  });

  test.each([
    ["min_instances: 3\nmax_instances: 2", "max_instances"],
    ["max_instances: 2\nmin_instances: 3", "min_instances"],
  ])("%j is refused where the second of them stands", (text, key) => {
    const message = "min_instances (3) may not be more than max_instances (2)";
    expect(problemsOf(text)).toEqual([`ol.yaml:2: ${key}: ${message}`]);
  });

  test.each(["", "\n", "# only a comment\n", "---\n", "\uFEFF"])("%j is an empty configuration", (text) => {
    expect(parseLambdaConfig(text, "ol.yaml")).toEqual({ environment: {}, limits: {} });
  });

  test("a variable called __proto__ is an ordinary variable", () => {
    const { environment } = parseLambdaConfig("environment: {__proto__: x}", "ol.yaml");
    expect(Object.keys(environment)).toEqual(["__proto__"]);
    expect(Object.getPrototypeOf(environment)).toBe(Object.prototype);
  });

  test("all mistakes are named at once, each with file, line and key, in the order of the file", () => {
    expect(problemsOf("limits:\n  mem_mb: lots\n  memmb: 3\nnetwork: wifi\nenviroment: {}\n")).toEqual([
      'ol.yaml:2: limits.mem_mb: must be a whole number from 8 to 1048576, not "lots"',
      'ol.yaml:3: limits.memmb: is not a known key; did you mean "mem_mb"?',
      'ol.yaml:4: network: must be "host" (the machine\'s network), "outbound" or "none", not "wifi"',
      'ol.yaml:5: enviroment: is not a known key; did you mean "environment"?',
    ]);
  });

  test.each([
    ["triggers: {cron: []}", "triggers.cron"],
    ["triggers: {kafka: []}", "triggers.kafka"],
    ["runtime: node20", "runtime"],
  ])("%j is refused as not supported yet", (text, key) => {
    expect(problemsOf(text)).toEqual([
      expect.stringMatching(/^ol\.yaml:1: .*not supported yet in this version/u),
    ]);
    expect(problemsOf(text)[0]).toContain(` ${key}:`);
  });

  test.each([
    "limits: {mem_mb: 4}",
    "limits: {mem_mb: 2000000}",
    "limits: {procs: 1.5}",
    "limits: {runtime_sec: .inf}",
    "limits: {runtime_sec: .nan}",
    "limits: {runtime_sec: -1}",
    "limits: {mem_mb: [1]}",
    "limits: {mem_mb: }",
    "limits: 3",
    "limits:",
    "environment: [a]",
    "environment: {1A: x}",
    "environment: {'A=B': x}",
    "environment: {A: {b: c}}",
    "environment: {A: }",
    'environment: {A: "x\\0y"}',
    "triggers: {http: GET}",
    "triggers: {http: []}",
    "triggers: {http: [GET]}",
    "triggers: {http: [{method: FETCH}]}",
    "triggers: {http: [{}]}",
    "triggers: {http: [{method: GET, path: /x}]}",
    "triggers: {https: []}",
    "network: [host]",
    "network: 3",
    "- a\n- b",
    "just text",
    "a: b: c",
    "a: [",
    "{a: 1",
    "--- {}\n--- {}",
    "network: host\nnetwork: none",
    "? [complex]\n: key",
    "null: 3",
  ])("%j is refused with one line", (text) => {
    const problems = problemsOf(text);
    expect(problems.length).toBeGreaterThan(0);
    for (const problem of problems) expect(problem).toMatch(/^ol\.yaml:\d+: [^\n]+$/u);
  });

  test.each([
    "environment: &e {A: x}\nlimits: *e",
    "environment: &e {A: x}",
    "limits: *nothing",
    "environment: {A: !!python/object x}",
    "environment: !!map {A: x}",
    "environment: {A: !!str 1}",
  ])("anchors, aliases and tags are refused: %j", (text) => {
    expect(problemsOf(text).join("\n")).toMatch(/not supported; (?:remove|write)|not valid YAML/u);
  });

  test("a bomb of aliases ends at once", () => {
    const levels = ["a: &a [x,x,x,x,x,x,x,x,x]"];
    for (let i = 1; i < 12; i++) {
      const [here, last] = [String.fromCodePoint(97 + i), String.fromCodePoint(96 + i)];
      levels.push(`${here}: &${here} [${`*${last},`.repeat(8)}*${last}]`);
    }
    const start = performance.now();
    expect(problemsOf(levels.join("\n")).length).toBeGreaterThan(0);
    expect(performance.now() - start).toBeLessThan(5000);
  });

  test.each([
    ["deep lists", "[".repeat(60_000)],
    ["deep mappings", "{a: ".repeat(15_000)],
    ["many keys", Array.from({ length: 7_000 }, (_, i) => `k${i}: `).join("\n")],
    ["many errors", "a: b: c\n".repeat(7_000)],
    ["many anchors", "- &a\n".repeat(10_000)],
    ["long flow of tags", "!a ".repeat(20_000)],
    ["too large", "#".repeat(70_000)],
  ])("hostile text ends quickly and with few lines: %s", (_name, text) => {
    const start = performance.now();
    const problems = problemsOf(text);
    expect(problems.length).toBeGreaterThan(0);
    expect(problems.length).toBeLessThan(30);
    expect(problems.join("").length).toBeLessThan(8_000);
    expect(performance.now() - start).toBeLessThan(3000);
  });

  test("an environment beyond 32 KiB or 256 variables is refused", () => {
    expect(problemsOf(`environment:\n  A: ${"x".repeat(33_000)}`)[0]).toContain("32 KiB");
    const many = Array.from({ length: 257 }, (_, i) => `  A${i}: x`).join("\n");
    expect(problemsOf(`environment:\n${many}`)[0]).toContain("256");
  });
});
