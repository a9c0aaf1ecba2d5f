import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";

import { freePorts } from "@ol/common";
import { beforeEach, describe, expect, onTestFinished, test } from "vitest";

import { identityOf, isAlive } from "../../src/process/identity.ts";
import { readPidFile } from "../../src/process/pid-file.ts";
import { type Outcome, admin, newCluster } from "../support/harness.ts";

let cwd: string;
let cluster: string;

beforeEach(async () => {
  ({ cwd, cluster } = await newCluster());
});

const act = (tokens: string[], environment = {}): Promise<Outcome> => admin(tokens, { cwd, environment });

const pidOf = (index: number): number => {
  const recorded = readPidFile(join(cluster, "logs", `worker-${index}.pid`));
  if (recorded === undefined || recorded === "unreadable") throw new Error(`worker-${index} has no pid file`);
  return recorded.pid;
};

const fileNames = (directory: string): string[] => readdirSync(join(cluster, directory)).sort();

/** The processes that have `word` in their command line. */
const processesWith = (word: string): number[] =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/u.test(name) && commandLine(name).split("\0").includes(word))
    .map(Number);

const commandLine = (pid: string): string => {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    // Gone by now.
    return "";
  }
};

const sleeper = async (): Promise<number> => {
  const child = spawn(process.execPath, ["-e", "console.log(1); setInterval(() => {}, 1000)"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  await once(child.stdout, "data");
  return child.pid as number;
};

describe("workers", () => {
  test("start in the background, answer, and are ended by kill", async () => {
    const port = await freePorts(3);
    const started = await act(["workers", "-num-workers=2", `-port=${port}`]);
    expect(started.code).toBe(0);
    expect(started.stdout).toBe(
      `worker-0 ready at http://localhost:${port}\nworker-1 ready at http://localhost:${port + 1}\n`,
    );
    const status = await act(["status"]);
    expect(status.code).toBe(0);
    expect(status.stdout).toBe(
      [
        "Worker Pings:",
        `  http://localhost:${port}/status => ready [200 OK]`,
        `  http://localhost:${port + 1}/status => ready [200 OK]`,
        "",
        "Cluster containers:",
        "  sock  s1  hello  idle  12s  12MB",
        "  sock  s1  hello  idle  12s  12MB",
        "",
      ].join("\n"),
    );
    const pids = [pidOf(0), pidOf(1)];
    expect((await act(["kill"])).code).toBe(0);
    expect(pids.map((pid) => identityOf(pid))).toEqual([undefined, undefined]);
    expect(fileNames("logs").filter((name) => name.endsWith(".pid"))).toEqual([]);
    expect(readFileSync(join(cluster, "logs/swept"), "utf8").split("\n")).toHaveLength(3);
    expect((await act(["kill"])).code).toBe(0);
  });

  test("do not take one port from the shell's environment for all of them", async () => {
    const port = await freePorts(3);
    await act(["workers", `--port=${port}`], { OL_WORKER_PORT: "1", OL_WORKER_DIR: "/" });
    const stats = await fetch(`http://localhost:${port}/stats`);
    expect(((await stats.json()) as { environment: string }).environment).toBe("");
  });

  test("are started again on their old ports after they died, and after a reboot", async () => {
    const port = await freePorts(3);
    await act(["workers", `--port=${port}`]);
    const old = pidOf(0);
    process.kill(old, "SIGKILL");
    await expect.poll(() => identityOf(old)).toBeUndefined();
    const status = await act(["status"]);
    expect(status.code).toBe(1);
    expect(status.stdout).toContain(`http://localhost:${port}/status => dead [`);
    expect((await act(["workers"])).stdout).toBe(`worker-0 ready at http://localhost:${port}\n`);
    await act(["kill"]);
    writeFileSync(
      join(cluster, "logs/worker-0.pid"),
      `${process.pid}\n1\n00000000-0000-0000-0000-000000000000\n`,
    );
    expect((await act(["workers"])).stdout).toBe(`worker-0 ready at http://localhost:${port}\n`);
    expect(pidOf(0)).not.toBe(process.pid);
  });

  test("are replaced by --restart on the same ports", async () => {
    const port = await freePorts(3);
    await act(["workers", "--num-workers=2", `--port=${port}`]);
    const before = [pidOf(0), pidOf(1)];
    expect(await act(["workers", "--restart"])).toMatchObject({ code: 0 });
    expect([pidOf(0), pidOf(1)]).not.toEqual(before);
    expect((await act(["status"])).code).toBe(0);
    expect(fileNames("config").filter((name) => name.startsWith("worker-"))).toHaveLength(2);
  });

  test("run on if --restart finds that their successors cannot start", async () => {
    const port = await freePorts(3);
    await act(["workers", "--num-workers=2", `--port=${port}`]);
    const before = [pidOf(0), pidOf(1)];
    const config = readFileSync(join(cluster, "config/worker-0.json"), "utf8");
    await act(["setconf", '{"worker_slots": 3}']);
    for (const behaviour of ["says-error", "dies"]) {
      const outcome = await act(["workers", "--restart"], { FAKE_WORKER: behaviour });
      expect(outcome).toMatchObject({ code: 1, stdout: "" });
      expect(outcome.stderr).toMatch(/^worker-0 did not start: .+\n$/u);
    }
    expect([pidOf(0), pidOf(1)]).toEqual(before);
    expect((await act(["status"])).code).toBe(0);
    expect(readFileSync(join(cluster, "config/worker-0.json"), "utf8")).toBe(config);
  });

  test("of which one does not end leave no successor behind when --restart is interrupted", async () => {
    const port = await freePorts(3);
    await act(["workers", `--port=${port}`], { FAKE_WORKER: "stubborn" });
    const controller = new AbortController();
    const running = admin(["workers", "--restart"], { cwd, signal: controller.signal });
    const config = join(cluster, "config/worker-0.json");
    await expect.poll(() => processesWith(config), { timeout: 10_000 }).toHaveLength(2);
    controller.abort(new Error("ended by SIGINT"));
    expect(await running).toMatchObject({ code: 1, stderr: "interrupted\n" });
    expect(processesWith(config)).toEqual([pidOf(0)]);
    expect((await act(["kill", "--timeout=0"])).code).toBe(0);
  });

  test("of two commands at once get different numbers and ports", async () => {
    const port = await freePorts(3);
    await act(["setconf", JSON.stringify({ worker_port: port })]);
    const outcomes = await Promise.all([act(["workers"]), act(["workers"]), act(["workers"])]);
    expect(outcomes.map(({ code }) => code)).toEqual([0, 0, 0]);
    expect(outcomes.map(({ stdout }) => stdout).sort()).toEqual(
      [0, 1, 2].map((at) => `worker-${at} ready at http://localhost:${port + at}\n`),
    );
    expect((await act(["kill"])).code).toBe(0);
  });

  test("on a port in use are refused with its holder's name, and nothing is left", async () => {
    const server = createServer();
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    onTestFinished(() => void server.close());
    const { port } = server.address() as AddressInfo;
    const outcome = await act(["workers", `--port=${port}`]);
    expect(outcome).toMatchObject({ code: 1, stdout: "" });
    expect(outcome.stderr).toMatch(
      new RegExp(`^port ${port} is in use by .+ \\(process ${process.pid}\\); [^\\n]+\\n$`, "u"),
    );
    expect(fileNames("config")).toEqual(["cluster.json", "template.json"]);
    expect(fileNames("logs")).toEqual(["lambdas"]);
  });

  test.each([
    ["says-error", /^worker-0 did not start: port 1 is not allowed\\x1b\[31m\n$/u],
    ["dies", /^worker-0 did not start: it ended; its last words: out of luck\n$/u],
  ])("that fail (%s) are told of in their own words, and nothing is left", async (behaviour, message) => {
    const outcome = await act(["workers", `--port=${await freePorts()}`], { FAKE_WORKER: behaviour });
    expect(outcome).toMatchObject({ code: 1, stdout: "" });
    expect(outcome.stderr).toMatch(message);
    expect(fileNames("config")).toEqual(["cluster.json", "template.json"]);
    expect(fileNames("logs").filter((name) => name.endsWith(".pid"))).toEqual([]);
  });

  test("that do not get ready are ended when the command is interrupted", async () => {
    const controller = new AbortController();
    const running = admin(["workers", `--port=${await freePorts()}`], {
      cwd,
      environment: { FAKE_WORKER: "hangs" },
      signal: controller.signal,
    });
    await expect.poll(() => fileNames("logs")).toContain("worker-0.pid");
    const pid = pidOf(0);
    controller.abort(new Error("ended by SIGINT"));
    expect((await running).code).toBe(1);
    expect(identityOf(pid)).toBeUndefined();
    expect(fileNames("config")).toEqual(["cluster.json", "template.json"]);
  });
});

describe("kill", () => {
  test("harms nobody whose pid a stale file names, and replaces the file", async () => {
    const stranger = await sleeper();
    const identity = identityOf(stranger);
    if (identity === undefined) throw new Error("it did not start");
    writeFileSync(join(cluster, "logs/worker-0.pid"), `${stranger}\n1\n${identity.bootId}\n`);
    const outcome = await act(["kill"]);
    expect(outcome.code).toBe(0);
    expect(isAlive(identity)).toBe(true);
    expect(existsSync(join(cluster, "logs/worker-0.pid"))).toBe(false);
  });

  test("ends a worker that does not want to, after the time it was given", async () => {
    await act(["workers", `--port=${await freePorts()}`], { FAKE_WORKER: "stubborn" });
    const pid = pidOf(0);
    const outcome = await act(["kill", "--timeout=0"]);
    expect(outcome.code).toBe(0);
    expect(outcome.stderr).toContain("worker-0 killed");
    expect(identityOf(pid)).toBeUndefined();
  });

  test("after a failed sweep keeps the pid file, says so, and can be repeated", async () => {
    await act(["workers", `--port=${await freePorts()}`]);
    const failed = await act(["kill"], { FAKE_WORKER: "sweep-fails" });
    expect(failed.code).toBe(1);
    expect(failed.stderr).toContain("worker-0: ol-worker sweep failed: the sandbox directory is in use");
    expect(existsSync(join(cluster, "logs/worker-0.pid"))).toBe(true);
    expect((await act(["kill"])).code).toBe(0);
    expect(existsSync(join(cluster, "logs/worker-0.pid"))).toBe(false);
  });

  test("that is interrupted leaves the worker to end by itself, and can be repeated", async () => {
    await act(["workers", `--port=${await freePorts()}`], { FAKE_WORKER: "stubborn" });
    const controller = new AbortController();
    const running = admin(["kill"], { cwd, signal: controller.signal });
    controller.abort(new Error("ended by SIGINT"));
    const outcome = await running;
    expect(outcome).toEqual({ code: 1, stdout: "", stderr: "interrupted\n" });
    expect(existsSync(join(cluster, "logs/worker-0.pid"))).toBe(true);
    expect((await act(["kill", "--timeout=0"])).code).toBe(0);
  });

  test("ends this cluster and no other", async () => {
    const other = await newCluster();
    const port = await freePorts(3);
    await act(["workers", `--port=${port}`]);
    await admin(["workers", `--port=${port + 1}`], { cwd: other.cwd });
    await act(["kill"]);
    expect((await admin(["status"], { cwd: other.cwd })).stdout).toContain("=> ready [200 OK]");
  });

  test("and workers at once end in one order or the other", async () => {
    const port = await freePorts(3);
    await act(["workers", `--port=${port}`]);
    const [killed, started] = await Promise.all([act(["kill"]), act(["workers", `--port=${port + 1}`])]);
    expect([killed.code, started.code]).toEqual([0, 0]);
    expect((await act(["status"])).code).toBe(0);
  });
});

describe("gc", () => {
  test("clears dead workers and leaves running ones alone", async () => {
    const port = await freePorts(3);
    await act(["workers", "--num-workers=2", `--port=${port}`]);
    const dead = pidOf(1);
    process.kill(dead, "SIGKILL");
    await expect.poll(() => identityOf(dead)).toBeUndefined();
    expect((await act(["gc"])).stderr).toBe("worker-1 cleared\n");
    expect(readFileSync(join(cluster, "logs/swept"), "utf8")).toBe(
      `${join(cluster, "config/worker-1.json")}\n`,
    );
    const status = await act(["status"]);
    expect(status.code).toBe(0);
    expect(status.stdout).toContain(`:${port}/status`);
  });
});

describe("invoke", () => {
  test("sends JSON, a file, standard input or nothing, and prints the reply", async () => {
    await act(["workers", `--port=${await freePorts()}`]);
    writeFileSync(join(cwd, "event.json"), '{"from": "file"}');
    expect(await act(["invoke", "echo", "-d", '{"a": 1}'])).toEqual({
      code: 0,
      stdout: '{"a": 1}\n',
      stderr: "",
    });
    expect((await act(["invoke", "echo", "-d", "@event.json"])).stdout).toBe('{"from": "file"}\n');
    expect((await act(["invoke", "echo"])).stdout).toBe("");
    expect((await admin(["invoke", "echo", "-d-"], { cwd, input: "[1]" })).stdout).toBe("[1]\n");
    expect((await act(["invoke", "echo", "-d", "@nowhere"])).code).toBe(2);
  });

  test("of a lambda that fails prints why to the terminal and exits with 1", async () => {
    await act(["workers", `--port=${await freePorts()}`]);
    const outcome = await act(["invoke", "fails"]);
    expect(outcome).toEqual({
      code: 1,
      stdout: "",
      stderr: "fails answered 500 Internal Server Error:\nTraceback:\\x1b[31m\n  boom\n",
    });
  });

  test("without a worker says how to start one", async () => {
    const outcome = await act(["invoke", "echo"]);
    expect(outcome.code).toBe(1);
    expect(outcome.stderr).toMatch(
      /^no worker of this cluster runs; start one with: npx ol-admin workers [^\n]+\n$/u,
    );
  });
});

describe("worker-exec", () => {
  test("runs a worker until it is interrupted, and exits with 0", async () => {
    const port = await freePorts(3);
    const file = join(cwd, "worker.json");
    writeFileSync(file, JSON.stringify({ worker_port: String(port) }));
    const controller = new AbortController();
    const running = admin(["worker-exec", "--config=worker.json"], { cwd, signal: controller.signal });
    await expect
      .poll(
        async () =>
          fetch(`http://localhost:${port}/status`)
            .then((r) => r.status)
            .catch(() => 0),
        { timeout: 10_000 },
      )
      .toBe(200);
    controller.abort(new Error("ended by SIGINT"));
    expect((await running).code).toBe(0);
  });
});
