import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { freePorts } from "@ol/common";
import { expect, onTestFinished, test, vi } from "vitest";

import { identityOf } from "../../src/process/identity.ts";
import { readPidFile } from "../../src/process/pid-file.ts";
import { type Outcome, admin, temporaryDirectory } from "../support/harness.ts";

// The built programs: they are started as processes, as users start them.
const BIN = fileURLToPath(new URL("../../bin/ol-admin.js", import.meta.url));
const WORKER = join(
  dirname(createRequire(import.meta.url).resolve("ol-worker/package.json")),
  "bin/ol-worker.js",
);
const LINES_MS = 20_000;
const LOOK_MS = 20;

/** Prints its event, and ends its own process if the event says so. */
const TELLER = `import os

def f(event):
    print(event["say"])
    print(event["say"], "again")
    if event.get("exit"):
        os._exit(3)
    return event["say"]
`;

interface Called {
  readonly status: number;
  readonly invocation: string;
}

/** A cluster with one real worker and the lambda `teller`. */
class Stage {
  readonly cwd = temporaryDirectory();
  readonly cluster = join(this.cwd, "c");
  #port = 0;

  static async create(): Promise<Stage> {
    const stage = new Stage();
    await stage.act("new", "--cluster=c");
    onTestFinished(async () => void (await stage.act("kill", "--timeout=1")));
    mkdirSync(join(stage.cluster, "registry/teller"));
    writeFileSync(join(stage.cluster, "registry/teller/f.py"), TELLER);
    stage.#port = await freePorts();
    const { code, stderr } = await stage.act("workers", `--port=${stage.#port}`);
    if (code !== 0) throw new Error(stderr);
    return stage;
  }

  act(...tokens: string[]): Promise<Outcome> {
    return admin(tokens, { cwd: this.cwd, workerCommand: [process.execPath, WORKER] });
  }

  async call(say: string, exit = false): Promise<Called> {
    const reply = await fetch(`http://127.0.0.1:${this.#port}/run/teller`, {
      method: "POST",
      body: JSON.stringify({ say, exit }),
    });
    await reply.arrayBuffer();
    return { status: reply.status, invocation: reply.headers.get("x-ol-invocation-id") ?? "" };
  }

  /** As the kernel does it when memory is out. */
  async killWorker(): Promise<void> {
    const recorded = readPidFile(join(this.cluster, "logs/worker-0.pid"));
    if (recorded === undefined || recorded === "unreadable") throw new Error("there is no pid file");
    process.kill(recorded.pid, "SIGKILL");
    await vi.waitUntil(() => identityOf(recorded.pid) === undefined, { timeout: LINES_MS });
  }
}

/** `ol-admin logs teller -f` as a process of its own. */
class Following {
  readonly #child: ChildProcess;
  text = "";

  constructor(cwd: string, ...tokens: string[]) {
    const command = [BIN, "logs", "teller", "-f", ...tokens];
    this.#child = spawn(process.execPath, command, { cwd, stdio: ["ignore", "pipe", "pipe"] });
    for (const stream of [this.#child.stdout, this.#child.stderr])
      stream?.on("data", (data) => (this.text += String(data)));
    onTestFinished(() => void this.#child.kill("SIGKILL"));
  }

  /** What was printed, without the calls' ids; waits until there are as many lines as are expected. */
  async lines(expected: readonly string[]): Promise<readonly string[]> {
    const now = (): readonly string[] =>
      this.text.split("\n").flatMap((line) => (line === "" ? [] : [line.replace(/^[0-9A-Z]{26} /u, "")]));
    const end = performance.now() + LINES_MS;
    while (now().length < expected.length && performance.now() < end)
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    return now();
  }

  /** Ctrl-C; settles with the exit code. */
  async interrupt(): Promise<number | null> {
    const exited = once(this.#child, "exit");
    this.#child.kill("SIGINT");
    const [code] = await exited;
    return code as number | null;
  }
}

const printedBy = ({ invocation }: Called, word: string): string =>
  `${invocation} ${word}\n${invocation} ${word} again\n`;
const said = (...words: string[]): string[] => words.flatMap((word) => [word, `${word} again`]);

test("logs -f goes on over ended sandboxes, a restart and a killed worker, prints all once, and ctrl-C ends it with 0", async () => {
  const stage = await Stage.create();
  await stage.call("before");
  const following = new Following(stage.cwd);
  const words = ["before"];
  const say = async (word: string, exit = false): Promise<void> => {
    await stage.call(word, exit);
    words.push(word);
    // Each before the next one: where two files have news at once, either may be first.
    expect(await following.lines(said(...words))).toEqual(said(...words));
  };
  expect(await following.lines(said(...words))).toEqual(said(...words));
  await say("in the same sandbox");
  // The only sandbox ends each time, and with it the directory of the lambda's sandboxes.
  for (const round of [1, 2, 3]) await say(`the end ${round}`, true);
  await say("in a new sandbox");
  expect((await stage.act("workers", "--restart")).code).toBe(0);
  await say("in a new worker");
  await stage.killWorker();
  expect((await stage.act("workers")).code).toBe(0);
  await say("after a crash");
  expect(await following.interrupt()).toBe(0);
  expect(await following.lines(said(...words))).toEqual(said(...words));
});

test("logs --invocation prints one call's lines, whether its sandbox lives or has ended", async () => {
  const stage = await Stage.create();
  const first = await stage.call("first");
  const other = await stage.call("other");
  const last = await stage.call("last", true);
  const living = await stage.call("living");
  expect([first.status, other.status, last.status, living.status]).toEqual([200, 200, 502, 200]);
  const linesOf = async ({ invocation }: Called): Promise<string> =>
    (await stage.act("logs", "teller", "--invocation", invocation)).stdout;
  const checkAll = async (): Promise<void> => {
    expect(await linesOf(first)).toBe(printedBy(first, "first"));
    expect(await linesOf(last)).toBe(printedBy(last, "last"));
    expect(await linesOf(living)).toBe(printedBy(living, "living"));
  };
  await checkAll();
  const following = new Following(stage.cwd, `--invocation=${first.invocation.toLowerCase()}`);
  expect(await following.lines(said("first"))).toEqual(said("first"));
  expect(await following.interrupt()).toBe(0);
  expect((await stage.act("workers", "--restart")).code).toBe(0);
  await checkAll();
  expect((await stage.act("kill")).code).toBe(0);
  await checkAll();
  const unknown = await stage.act("logs", "teller", "--invocation", `${first.invocation.slice(0, -1)}Z`);
  expect(unknown).toMatchObject({ code: 0, stdout: "" });
  expect(unknown.stderr).toContain("nothing of this invocation");
});
