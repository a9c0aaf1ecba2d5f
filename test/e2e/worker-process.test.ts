import { spawnSync } from "node:child_process";
import { createServer } from "node:http";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { describe, expect, it, onTestFinished } from "vitest";

import { inspectHost } from "../../packages/sandbox/src/index.ts";

import { agentClient, type TestReply } from "../../packages/worker/test/http/clients.ts";
import { startWorkerProcess, type WorkerProcess } from "../../packages/worker/test/http/worker-process.ts";

const BIN = fileURLToPath(new URL("../../apps/worker/bin/ol-worker.js", import.meta.url));

const temporary = async (): Promise<string> => {
  const directory = await mkdtemp(join(tmpdir(), "ol-worker-test-"));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  return directory;
};

const run = (...args: string[]) =>
  spawnSync(process.execPath, [BIN, ...args], { encoding: "utf8", timeout: 20_000 });

const started = async (config?: Record<string, unknown>) => {
  const worker = await startWorkerProcess(config);
  const client = agentClient();
  onTestFinished(async () => {
    await client.close();
    await worker.close();
  });
  const call = (name: string, body = "{}"): Promise<TestReply> =>
    client.send(worker.port, { method: "POST", path: `/run/${name}`, body });
  return { worker, call };
};

const addLambda = async (worker: WorkerProcess, name: string, python: string): Promise<void> => {
  await mkdir(join(worker.registryDir, name), { recursive: true });
  await writeFile(join(worker.registryDir, name, "f.py"), python);
};

const NAP = "import time\n\ndef f(event):\n    time.sleep(event)\n    return 'slept'\n";

describe("a worker process", () => {
  it("that is stopped finishes what runs and exits with 0", async () => {
    const { worker, call } = await started();
    await addLambda(worker, "nap", NAP);
    await call("nap", "0");
    const running = call("nap", "0.5");
    await new Promise((resolve) => setTimeout(resolve, 100));
    worker.signal("SIGTERM");
    expect((await running).body.toString()).toBe('"slept"');
    expect(await worker.exited).toBe(0);
  });

  it("that is stopped tells whoever calls that it takes nothing new, until what runs is over", async () => {
    const { worker, call } = await started();
    await addLambda(worker, "nap", NAP);
    await call("nap", "0");
    const running = call("nap", "2");
    await new Promise((resolve) => setTimeout(resolve, 200));
    worker.signal("SIGTERM");
    await new Promise((resolve) => setTimeout(resolve, 200));
    const told = await call("nap", "0");
    expect(told.status).toBe(503);
    expect(told.headers).toMatchObject({ "x-ol-not-started": "1", connection: "close" });
    expect(await running).toMatchObject({ status: 200, headers: { connection: "close" } });
    expect(await worker.exited).toBe(0);
  });

  it("that is stopped twice ends at once", async () => {
    const { worker, call } = await started();
    await addLambda(worker, "nap", NAP);
    await call("nap", "0");
    const cut = call("nap", "20").catch((error: unknown) => String(error));
    await new Promise((resolve) => setTimeout(resolve, 100));
    worker.signal("SIGINT");
    // Two of one signal that nobody has heard yet are one.
    await expect.poll(() => worker.log()).toContain("stopping");
    const beganMs = performance.now();
    worker.signal("SIGINT");
    expect(await worker.exited).toBe(1);
    expect(performance.now() - beganMs).toBeLessThan(10_000);
    expect(await cut).toMatch(/hang up|ECONNRESET/u);
  });

  it("says that a lambda used too much memory, and runs it again in a fresh sandbox", async () => {
    const { worker, call } = await started({ limits: { mem_mb: 40 } });
    await addLambda(worker, "greedy", "def f(event):\n    return len(bytearray(event << 20))\n");
    expect((await call("greedy", "1")).status).toBe(200);
    const { enforcement } = await inspectHost();
    const reply = await call("greedy", "200");
    // Without a control group an allocation fails, and the lambda hears of it first.
    const [status, words] =
      enforcement?.memory === "rlimit" ? [500, "MemoryError"] : [502, "40 MB of memory"];
    expect(reply.body.toString()).toContain(words);
    expect(reply.status).toBe(status);
    expect((await call("greedy", "1")).status).toBe(200);
  });

  it.each([
    ["default", "quick"],
    ["greedyDual", "dear"],
  ])("with eviction %s keeps the sandbox of %s, if one of two has to go", async (eviction, kept) => {
    const limits = { mem_mb: 50, scratch_mb: 10 };
    const { worker, call } = await started({ eviction, limits, mem_pool_mb: 110, pause_linger_ms: 0 });
    const counter = "calls = 0\n\ndef f(event):\n    global calls\n    calls += 1\n    return calls\n";
    await addLambda(worker, "dear", `import time\ntime.sleep(2)\n${counter}`);
    await addLambda(worker, "quick", counter);
    await addLambda(worker, "third", counter);
    const text = async (name: string): Promise<string> => (await call(name)).body.toString();
    expect([await text("dear"), await text("quick")]).toEqual(["1", "1"]);
    // There is room for two. The one used longest ago is dear to make again.
    expect(await text("third")).toBe("1");
    expect(await text(kept)).toBe("2");
  });

  it("that was killed leaves nothing once it was swept", async () => {
    const { worker, call } = await started();
    await addLambda(worker, "nap", NAP);
    await call("nap", "0");
    worker.signal("SIGKILL");
    await worker.exited;
    const config = join(worker.directory, "worker-0.json");
    const swept = run("sweep", "--config", config, "--json");
    expect(swept.stderr).toBe("");
    expect(JSON.parse(swept.stdout)).toHaveProperty("removed");
    // Directories that the next one needs, its lock, the place for what is known of zygotes, and that for the lambdas' last output.
    const left = await readdir(join(worker.directory, "work"), { recursive: true });
    expect(left.sort()).toEqual([
      "handlers",
      "import-cache",
      "logs",
      "logs/lambdas",
      "run",
      "run/lock",
      "trash",
    ]);
  });

  it("shows new code within the cache time, and never the old again", { retry: 2 }, async () => {
    const { worker, call } = await started({ registry_cache_ms: 300 });
    await addLambda(worker, "version", "def f(event):\n    return 0\n");
    let seen = 0;
    for (let version = 0; version <= 3; version += 1) {
      await addLambda(worker, "version", `def f(event):\n    return ${version}\n`);
      const deadlineMs = performance.now() + 1_300;
      while (seen !== version) {
        const value = Number((await call("version")).body.toString());
        expect(value).toBeGreaterThanOrEqual(seen);
        expect(performance.now()).toBeLessThan(deadlineMs);
        seen = value;
      }
    }
  });

  it("that loses its engine says so and exits with 1, to be started again", async () => {
    const { worker } = await started();
    const children = spawnSync("ps", ["-o", "pid=", "--ppid", String(worker.pid)], { encoding: "utf8" });
    const [broker] = children.stdout.trim().split(/\s+/u).map(Number);
    process.kill(broker ?? 0, "SIGKILL");
    expect(await worker.exited).toBe(1);
    expect(worker.log()).toContain("the sandbox engine was lost");
  });
});

describe("the command line", () => {
  it.each([
    [["--confg", "x"], /--confg/u],
    [[], /--config FILE is missing/u],
    [["swep", "--config", "x"], /no command "swep"/u],
    [["--config", "x", "--json"], /--json belongs/u],
  ])("%j is wrong usage: exit 2", (args, message) => {
    const { status, stderr, stdout } = run(...args);
    expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
    expect(stderr).toMatch(message);
  });

  it("knows --help and --version", () => {
    expect(run("--help")).toMatchObject({
      status: 0,
      stdout: expect.stringContaining("ol-worker --config FILE"),
    });
    expect(run("--version").stdout).toMatch(/^\d+\.\d+\.\d+\n$/u);
  });

  it("says in one line what is wrong with a configuration, and exits with 1", async () => {
    const directory = await temporary();
    const file = join(directory, "worker-0.json");
    await writeFile(file, '{"worker_prt": 1}');
    const { status, stderr } = run("--config", file);
    expect(status).toBe(1);
    expect(stderr).toMatch(/^ol-worker: .*worker_prt.*worker_port.*\n$/u);
    expect(run(`-config=${join(directory, "none.json")}`)).toMatchObject({ status: 1 });
  });

  it("says in one line that a port is in use, and leaves nothing behind", async () => {
    const server = createServer();
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    onTestFinished(() => void server.close());
    const { port } = server.address() as AddressInfo;
    await expect(startWorkerProcess({ worker_port: port })).rejects.toThrow(
      new RegExp(`error port ${port} is in use: something listens on 127\\.0\\.0\\.1:${port}`, "u"),
    );
  });

  it("doctor says what it found", () => {
    const { stdout, status } = run("doctor", "--json");
    type Checks = { name: string; ok: boolean }[];
    const { checks, optional } = JSON.parse(stdout) as { checks: Checks; optional: Checks };
    expect(checks.map((check) => check.name)).toContain("python");
    // Whether it can be had depends on this machine and user, and decides nothing.
    expect(optional.map((check) => check.name)).toEqual(["network outbound", "packages"]);
    expect(status).toBe(checks.every((check) => check.ok) ? 0 : 1);
  });
});
