import { execFile } from "node:child_process";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { describe, expect, it, onTestFinished } from "vitest";

import { agentClient } from "../http/clients.ts";
import { startWorkerProcess, type WorkerProcess } from "../http/worker-process.ts";
import { READER_KEYS, soon, TestRegistry } from "../support/registry.ts";

const CACHE_MS = 300;
const PATIENCE = { timeout: 20_000, interval: 50 };

const says = (word: string) => ({ "f.py": `def f(event):\n    return ${JSON.stringify(word)}\n` });

interface Stats {
  readonly functions: readonly {
    readonly name: string;
    readonly staleSinceMs?: number;
    readonly fault?: string;
  }[];
  readonly registry: Readonly<Record<string, number | undefined>>;
  readonly calls: Readonly<Record<string, number>>;
}

const setup = async (config: Readonly<Record<string, unknown>> = {}) => {
  const registry = await TestRegistry.start();
  const workerConfig = {
    registry: `http://127.0.0.1:${registry.port}`,
    registry_access_key: READER_KEYS.accessKey,
    registry_secret_key: READER_KEYS.secretKey,
    registry_cache_ms: CACHE_MS,
    ...config,
  };
  const started = await startWorkerProcess(workerConfig);
  const worker = { current: started };
  onTestFinished(() => worker.current.close());
  const client = agentClient();
  onTestFinished(() => client.close());
  const call = async (name: string): Promise<string> => {
    const { status, body } = await client.send(worker.current.port, { method: "POST", path: `/run/${name}` });
    return `${status} ${body.toString().slice(0, 200)}`;
  };
  const stats = async (): Promise<Stats> => {
    const { body } = await client.send(worker.current.port, { method: "GET", path: "/stats" });
    return JSON.parse(body.toString()) as Stats;
  };
  /** Ends the worker, and starts it again in the same directory. */
  const restart = async (more: Readonly<Record<string, unknown>> = {}): Promise<WorkerProcess> => {
    worker.current.signal("SIGTERM");
    await worker.current.exited;
    worker.current = await startWorkerProcess({ ...workerConfig, ...more }, worker.current);
    return worker.current;
  };
  return { registry, worker, call, stats, restart };
};

const BIN = fileURLToPath(new URL("../../../../apps/worker/bin/ol-worker.js", import.meta.url));

/** What doctor says of the registry. */
const doctorOn = async (file: string): Promise<unknown> => {
  const run = promisify(execFile)(process.execPath, [BIN, "doctor", "--json", "--config", file], {
    timeout: 60_000,
  });
  // It exits with 1 if anything is missing.
  const { stdout } = await run.catch((error: unknown) => error as { stdout: string });
  return (JSON.parse(stdout) as { checks: { name: string }[] }).checks.find(
    ({ name }) => name === "registry",
  );
};

describe("a worker whose code is in a registry", () => {
  it("has doctor ask whether the registry answers, has the bucket and takes the keys", async () => {
    const { registry, worker } = await setup();
    const file = join(worker.current.directory, "worker-0.json");
    expect(await doctorOn(file)).toMatchObject({ ok: true });
    await registry.kill();
    expect(await doctorOn(file)).toMatchObject({
      ok: false,
      detail: expect.stringContaining("nothing listens there"),
    });
  });

  it("runs what is uploaded, changed and rolled back, by name, tag and digest", async () => {
    const { registry, call, stats } = await setup();
    expect(await call("a")).toMatch(/^404 /u);
    const one = await registry.upload("a", says("one"), { tags: ["latest", "v1"] });
    expect(await Promise.all(Array.from({ length: 8 }, () => call("a")))).toEqual(Array(8).fill('200 "one"'));
    expect((await stats()).registry).toMatchObject({ pulls: 1, failures: 0, pullFailures: 0 });
    await registry.upload("a", says("two"));
    await expect.poll(() => call("a"), PATIENCE).toBe('200 "two"');
    expect(await call("a@v1")).toBe('200 "one"');
    expect(await call(`a@sha256:${one}`)).toBe('200 "one"');
    await registry.admin.rollback({ name: "a" }, soon());
    await expect.poll(() => call("a"), PATIENCE).toBe('200 "one"');
    await registry.admin.remove({ name: "a" }, soon());
    await expect.poll(() => call("a"), PATIENCE).toMatch(/^404 /u);
  });

  it("loses no call by new code, by broken code, or by a registry that is killed, hangs and comes back", async () => {
    const { registry, call, stats } = await setup();
    await registry.upload("a", says("one"));
    await call("a");
    const seen = new Map<string, number>();
    const stop = new AbortController();
    const caller = async (): Promise<void> => {
      while (!stop.signal.aborted) {
        const reply = await call("a");
        seen.set(reply, (seen.get(reply) ?? 0) + 1);
      }
    };
    const callers = Promise.all([caller(), caller(), caller()]);
    const until = (reply: string) => expect.poll(() => seen.has(reply), PATIENCE).toBe(true);
    await registry.upload("a", says("two"));
    await until('200 "two"');
    await registry.upload("a", { "f.py": "def f(:\n" });
    await expect.poll(async () => (await stats()).functions[0]?.fault, PATIENCE).toContain("SyntaxError");
    await registry.uploadBytes("a", Buffer.from("not even an archive"));
    await expect.poll(async () => (await stats()).functions[0]?.fault, PATIENCE).toContain("gzip");
    await registry.kill();
    await expect.poll(async () => (await stats()).functions[0]?.staleSinceMs, PATIENCE).toBeDefined();
    await registry.launch();
    await registry.upload("a", says("three"));
    await until('200 "three"');
    registry.pause();
    await expect.poll(async () => (await stats()).functions[0]?.staleSinceMs, PATIENCE).toBeDefined();
    registry.resume();
    await registry.upload("a", says("four"));
    await until('200 "four"');
    stop.abort();
    await callers;
    expect([...seen.keys()].toSorted()).toEqual(['200 "four"', '200 "one"', '200 "three"', '200 "two"']);
    const { functions, calls } = await stats();
    expect(functions[0]?.staleSinceMs).toBeUndefined();
    expect(calls["refused"]).toBe(0);
    expect(calls["errors"]).toEqual({});
  });

  it("runs what it ran before when it is started while the registry is down, or does not take its keys", async () => {
    const { registry, call, stats, restart } = await setup();
    await registry.upload("a", says("one"));
    expect(await call("a")).toBe('200 "one"');
    await registry.kill();
    await restart();
    expect(await call("a")).toBe('200 "one"');
    expect((await stats()).functions[0]?.staleSinceMs).toBeTypeOf("number");
    expect(await call("b")).toMatch(/^500 /u);
    await registry.launch();
    const worker = await restart({ registry_secret_key: "another-secret" });
    expect(await call("a")).toBe('200 "one"');
    expect(worker.log()).toContain("the secret key is not that of the access key");
    expect(worker.log()).not.toContain("another-secret");
  });

  it("leaves nothing of code that is not run any more", async () => {
    const { registry, worker, call } = await setup();
    for (const word of ["one", "two", "three"]) {
      await registry.upload("a", says(word));
      await expect.poll(() => call("a"), PATIENCE).toBe(`200 ${JSON.stringify(word)}`);
    }
    const { directory } = worker.current;
    const versionsIn = async (path: string): Promise<number> =>
      (await readdir(join(directory, path))).filter((name) => /[0-9a-f]{64}$/u.test(name)).length;
    await expect.poll(() => versionsIn("work/code"), PATIENCE).toBe(1);
    // Beyond the minute in which it may be wanted again, the shelf keeps only what a tag names.
    expect(await versionsIn("work/bundles")).toBeLessThanOrEqual(3);
  });

  it("shows in its metrics what it asked the registry", async () => {
    const { registry, worker, call } = await setup();
    await registry.upload("a", says("one"));
    await call("a");
    const client = agentClient();
    onTestFinished(() => client.close());
    const { body } = await client.send(worker.current.port, { method: "GET", path: "/metrics" });
    expect(body.toString()).toContain("ol_worker_registry_pulls_total 1");
    expect(body.toString()).toContain("ol_worker_registry_failing_seconds 0");
    expect(body.toString()).toContain('ol_lambda_stale_seconds{lambda="a"} 0');
    expect(body.toString()).not.toContain("reader-");
  });
});
