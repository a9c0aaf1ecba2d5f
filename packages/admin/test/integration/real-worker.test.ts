import { cpSync, existsSync, readdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { freePorts } from "@ol/common";
import { expect, onTestFinished, test } from "vitest";

import { identityOf } from "../../src/process/identity.ts";
import { readPidFile } from "../../src/process/pid-file.ts";
import { type Outcome, admin, temporaryDirectory } from "../support/harness.ts";

// The built worker: it is started as a process, as users start it.
const worker = join(
  dirname(createRequire(import.meta.url).resolve("ol-worker/package.json")),
  "bin/ol-worker.js",
);
const handlers = fileURLToPath(new URL("../../../../quickstart/handlers", import.meta.url));

const started = async (): Promise<{
  act: (...tokens: string[]) => Promise<Outcome>;
  cluster: string;
  port: number;
}> => {
  const cwd = temporaryDirectory();
  const act = (...tokens: string[]): Promise<Outcome> =>
    admin(tokens, { cwd, workerCommand: [process.execPath, worker] });
  const cluster = join(cwd, "my-cluster");
  await act("new", "-cluster", "my-cluster");
  onTestFinished(async () => void (await act("kill", "--timeout=1")));
  const port = await freePorts();
  expect(await act("workers", "-cluster=my-cluster", `--port=${port}`)).toMatchObject({ code: 0 });
  return { act, cluster, port };
};

test("a cluster goes from new to a lambda's reply, its log and its end", async () => {
  const { act, cluster, port } = await started();
  cpSync(join(handlers, "hello"), join(cluster, "registry/hello"), { recursive: true });
  cpSync(join(handlers, "echo"), join(cluster, "registry/echo"), { recursive: true });
  const reply = await fetch(`http://localhost:${port}/runLambda/hello`, {
    method: "POST",
    body: '{"name": "Alice"}',
  });
  expect(await reply.text()).toBe('"Hello, Alice!"');
  expect((await act("invoke", "echo", "-d", "[1]")).stdout).toBe("[1]\n");
  expect((await act("status")).stdout).toMatch(/^ {2}sock {2}\S+ +hello +\w+ +\d+s +\d+MB$/mu);
  expect((await act("logs", "echo")).stdout).toMatch(/^[0-9A-Z]{26} received \[1\]\n$/u);
  expect((await act("list")).stdout).toMatch(/^echo .*\nhello .*\n$/u);
  expect((await act("kill")).code).toBe(0);
  expect((await act("logs", "echo")).stdout).toMatch(/received \[1\]\n$/u);
  expect(readdirSync(join(cluster, "workers/worker-0/handlers"))).toEqual([]);
});

test("status and logs say which lambda's newest code is not used, until it is mended", async () => {
  const { act, cluster } = await started();
  cpSync(join(handlers, "hello"), join(cluster, "registry/hello"), { recursive: true });
  expect(await act("setconf", '{"registry_cache_ms": 100}')).toMatchObject({ code: 0 });
  expect(await act("workers", "--restart")).toMatchObject({ code: 0 });
  const file = join(cluster, "registry/hello/f.py");
  writeFileSync(file, "def f(event):\n    return 1\n");
  expect((await act("invoke", "hello")).stdout).toBe("1\n");
  expect((await act("status")).stdout).not.toContain("newest code");
  writeFileSync(file, "import no_such_module\n");
  const status = async (): Promise<string> => {
    expect((await act("invoke", "hello")).stdout).toBe("1\n");
    return (await act("status")).stdout;
  };
  await expect
    .poll(status, { timeout: 20_000 })
    .toMatch(
      /^ {2}worker-0 {2}hello {2}serves the code before {2}ModuleNotFoundError: .*'no_such_module'$/mu,
    );
  expect((await act("logs", "hello")).stdout).toMatch(/line 1, in <module>\n(.*\n)*ModuleNotFoundError: /u);
  writeFileSync(file, "def f(event):\n    return 2\n");
  await expect.poll(async () => (await act("invoke", "hello")).stdout, { timeout: 20_000 }).toBe("2\n");
  expect((await act("status")).stdout).not.toContain("newest code");
});

test("kill clears what a worker left that was ended by SIGKILL, and it starts again", async () => {
  const { act, cluster } = await started();
  cpSync(join(handlers, "scratch"), join(cluster, "registry/scratch"), { recursive: true });
  expect((await act("invoke", "scratch")).code).toBe(0);
  const recorded = readPidFile(join(cluster, "logs/worker-0.pid"));
  if (recorded === undefined || recorded === "unreadable") throw new Error("there is no pid file");
  process.kill(recorded.pid, "SIGKILL");
  await expect.poll(() => identityOf(recorded.pid)).toBeUndefined();
  expect((await act("status")).code).toBe(1);
  expect((await act("kill")).code).toBe(0);
  expect(readdirSync(join(cluster, "workers/worker-0/handlers"))).toEqual([]);
  expect(existsSync(join(cluster, "logs/worker-0.pid"))).toBe(false);
  expect((await act("workers", `--port=${await freePorts()}`)).code).toBe(0);
  expect((await act("invoke", "scratch")).stdout).toBe('{"calls of this sandbox":1}\n');
});

test("a worker that is replaced listens where its configuration says now", async () => {
  const { act, port } = await started();
  const answers = async (host: string): Promise<boolean> =>
    fetch(`http://${host}:${port}/status`).then(
      ({ ok }) => ok,
      () => false,
    );
  const both = async (): Promise<boolean[]> => [await answers("127.0.0.1"), await answers("[::1]")];
  expect(await both()).toEqual([true, true]);
  await act("setconf", '{"worker_url": "127.0.0.1"}');
  expect(await act("workers", "--restart")).toMatchObject({ code: 0 });
  expect(await both()).toEqual([true, false]);
  await act("setconf", '{"worker_url": "localhost"}');
  expect(await act("workers", "--restart")).toMatchObject({ code: 0 });
  expect(await both()).toEqual([true, true]);
});

test("a worker without Python says so in one line and leaves nothing", async () => {
  const cwd = temporaryDirectory();
  const act = (...tokens: string[]): Promise<Outcome> =>
    admin(tokens, { cwd, workerCommand: [process.execPath, worker], environment: { PATH: "/nowhere" } });
  await act("new", "--cluster=c");
  const outcome = await act("workers", `--port=${await freePorts()}`);
  expect(outcome.code).toBe(1);
  expect(outcome.stderr).toMatch(/^worker-0 did not start: .*[Pp]ython[^\n]*$/mu);
  expect(readdirSync(join(cwd, "c/config")).sort()).toEqual(["cluster.json", "template.json"]);
});
