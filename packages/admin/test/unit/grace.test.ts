import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { expect, test } from "vitest";

import { graceOf } from "../../src/worker/stop.ts";
import { temporaryDirectory } from "../support/harness.ts";

test("a worker has as long to end as the longest call of the code that it has, wherever that came from", async () => {
  const directory = temporaryDirectory();
  const configFile = join(directory, "worker.json");
  const worker = {
    index: 0,
    name: "worker-0",
    state: "running",
    configFile,
    pidFile: "",
    configured: true,
    process: undefined,
  } as const;
  writeFileSync(
    configFile,
    JSON.stringify({ worker_dir: "work", limits: { runtime_sec: 20 }, registry: "file:///nowhere" }),
  );
  expect(await graceOf(worker)).toBe(40_000);
  const yaml = { short: 5, long: 100, wrong: "much" };
  for (const [name, seconds] of Object.entries(yaml)) {
    const code = join(directory, "work", "code", `${name}@${"0".repeat(64)}`);
    mkdirSync(code, { recursive: true });
    writeFileSync(join(code, "ol.yaml"), `limits: {runtime_sec: ${seconds}}\n`);
  }
  expect(await graceOf(worker)).toBe(120_000);
  writeFileSync(configFile, "nonsense");
  expect(await graceOf(worker)).toBe(50_000);
});
