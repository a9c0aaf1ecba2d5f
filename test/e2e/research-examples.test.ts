import { execFile } from "node:child_process";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { describe, expect, it, onTestFinished } from "vitest";

const DIRECTORY = fileURLToPath(new URL("../../examples/dist/", import.meta.url));
const RUN_MS = 120_000;

/** Runs one to its end; nothing may be left in the temporary directory that it had to itself. */
const run = async (name: string, ...args: readonly string[]): Promise<{ stdout: string; stderr: string }> => {
  const directory = await mkdtemp(join(tmpdir(), "ol-example-"));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  const options = { timeout: RUN_MS, env: { ...process.env, TMPDIR: directory } };
  const said = await promisify(execFile)(process.execPath, [`${DIRECTORY}${name}.js`, ...args], options);
  expect(await readdir(directory)).toEqual([]);
  return said;
};

/** The numbers of the row that begins with this name, of what console.table printed. */
const rowOf = (table: string, name: string): readonly number[] => {
  const row = table.split("\n").find((line) => line.includes(`'${name}'`));
  const cells = (row ?? "").split("│").slice(3, -1);
  return cells.map(Number);
};

describe("the research examples", () => {
  it("compare engines by the same pool and calls", async () => {
    const { stdout, stderr } = await run("engine-comparison", "3");
    for (const engine of ["sock", "process"]) {
      const numbers = rowOf(stdout, engine);
      expect(numbers, `${stdout}${stderr}`).toHaveLength(5);
      for (const number of numbers) expect(number).toBeGreaterThan(0);
    }
  });

  it("say how an eviction policy of one's own does beside one of ours", async () => {
    const { madeByLru, madeByHyperbolic } = JSON.parse((await run("own-eviction")).stdout);
    expect(madeByHyperbolic).toBeLessThan(madeByLru);
  });

  it("place calls by a balancing policy of one's own: two workers for each key, with the same load", async () => {
    const placed = JSON.parse((await run("own-balancing")).stdout) as Record<string, Record<string, number>>;
    expect(Object.keys(placed)).toEqual(["lambda-0", "lambda-1"]);
    for (const counts of Object.values(placed)) expect(Object.values(counts)).toEqual([8, 8]);
  });

  it("run lambdas in an engine of one's own", async () => {
    const { stdout, stderr } = await run("own-engine");
    expect(stdout).toMatch(/^call 1: 1\ncall 2: 2\ncall 3: 3\n\d+ KB are its own\n$/);
    expect(stderr).toMatch(/isolates nothing/);
  });

  it("say what starts would take with other zygotes, the same each time", async () => {
    const args = ["300", "pandas", "pandas requests", "flask"];
    const [first, second] = [
      (await run("zygote-what-if", ...args)).stdout,
      (await run("zygote-what-if", ...args)).stdout,
    ];
    expect(second).toBe(first);
    const [offMs = 0] = rowOf(first, "off");
    const [autoMs = Number.POSITIVE_INFINITY] = rowOf(first, "auto");
    expect(autoMs).toBeLessThan(offMs / 5);
    await expect(run("zygote-what-if", "300", "no-such-package")).rejects.toThrow(/never measured/);
  });

  it("record what happens as JSON lines: each call's way, each sandbox's life, and what was evicted", async () => {
    const { stdout } = await run("trace-recorder");
    const lines = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    const on = (channel: string): Record<string, unknown>[] =>
      lines.filter((line) => line["channel"] === channel);
    expect(on("ol:call:start")).toHaveLength(6);
    expect(on("ol:call:end").map((line) => line["outcome"])).toEqual(Array(6).fill("answered"));
    expect(on("ol:queue:refuse").map((line) => line["code"])).toEqual(Array(2).fill("OL_LAMBDA_UNKNOWN"));
    expect(on("ol:eviction:evict").length).toBeGreaterThan(0);
    const created = on("ol:sandbox:create").map((line) => String(line["id"]));
    expect(created.length).toBeGreaterThan(2);
    expect(
      on("ol:sandbox:destroy")
        .map((line) => String(line["id"]))
        .toSorted(),
    ).toEqual(created.toSorted());
    for (const [at, line] of lines.entries())
      expect(Number(line["atMs"])).toBeGreaterThanOrEqual(Number(lines[at - 1]?.["atMs"] ?? 0));
  });
});
