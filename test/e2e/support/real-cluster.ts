import { execFileSync, spawn } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

import { onTestFinished } from "vitest";

import {
  type Findings,
  descendantsOf,
  leftovers,
  treesOf,
} from "../../../packages/sandbox/test/support/leftovers.ts";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const ADMIN = path.join(ROOT, "packages/admin/bin/ol-admin.js");
const HANDLERS = path.join(ROOT, "packages/sandbox/test/support/handlers");
const COMMAND_MS = 180_000;
const LITTER_LIMITS = "limits:\n  mem_mb: 400\n  scratch_mb: 1000\n  cpu_percent: 400\n  runtime_sec: 120\n";

/** Whom a cluster's processes run as. */
export interface Mode {
  readonly name: "root" | "rootless";
  /** A program and its first arguments, put in front of every command. */
  readonly wrapper: readonly string[];
}

/**
 * Root's clusters and an ordinary user's. Where the test is root the latter runs in a user namespace with nothing but
 * root's own number in it, which has no more rights than an ordinary user.
 */
export const MODES: readonly [Mode, ...Mode[]] =
  process.getuid?.() === 0
    ? [
        { name: "root", wrapper: [] },
        { name: "rootless", wrapper: ["unshare", "--user", "--map-root-user"] },
      ]
    : [{ name: "rootless", wrapper: [] }];

/** How a command line ended. */
export interface Outcome {
  readonly code: number | null;
  readonly text: string;
}

/** Runs ol-admin as a process of its own. */
const admin = (mode: Mode, cwd: string, tokens: readonly string[]): Promise<Outcome> =>
  new Promise((resolve, reject) => {
    const [program = "", ...args] = [...mode.wrapper, process.execPath, ADMIN, ...tokens];
    const child = spawn(program, args, {
      cwd,
      stdio: ["ignore", "pipe", "pipe"],
      timeout: COMMAND_MS,
      killSignal: "SIGKILL",
    });
    let text = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (data) => (text += String(data)));
    child.once("error", reject);
    child.once("close", (code) => resolve({ code, text }));
  });

/** A worker of a real cluster. */
export interface RealWorker {
  readonly pid: number;
  readonly url: string;
}

/** A cluster made, started and ended by ol-admin, with the chaos handlers in its registry. */
export class RealCluster {
  readonly directory: string;
  readonly id: string;
  /** Sessions of every worker that was ever started here. */
  readonly sessions = new Set<number>();
  readonly #mode: Mode;
  readonly #cwd: string;
  #workers = 0;

  /** Everything of it is gone after the test. */
  static async create(mode: Mode): Promise<RealCluster> {
    const cwd = mkdtempSync(path.join(tmpdir(), "ol-real-"));
    onTestFinished(() => void execFileSync("rm", ["-rf", "--", cwd]));
    const made = await admin(mode, cwd, ["new", "--cluster=c"]);
    if (made.code !== 0) throw new Error(made.text);
    const cluster = new RealCluster(mode, cwd);
    onTestFinished(async () => void (await cluster.admin("kill", "--timeout=0")));
    for (const name of ["hello", "nap", "litter"]) cluster.add(name);
    writeFileSync(path.join(cluster.directory, "registry/litter/ol.yaml"), LITTER_LIMITS);
    return cluster;
  }

  private constructor(mode: Mode, cwd: string) {
    this.#mode = mode;
    this.#cwd = cwd;
    this.directory = path.join(cwd, "c");
    const file = path.join(this.directory, "config/cluster.json");
    this.id = (JSON.parse(readFileSync(file, "utf8")) as { id: string }).id;
  }

  admin(...tokens: string[]): Promise<Outcome> {
    return admin(this.#mode, this.#cwd, [...tokens, "--cluster=c"]);
  }

  /** Puts one of the handlers into the registry, under another name if one is given. */
  add(handler: string, name = handler): void {
    cpSync(path.join(HANDLERS, handler), path.join(this.directory, "registry", name), { recursive: true });
  }

  /** `ol-admin workers`: starts `count`, or what died; returns all that run. */
  async start(count: number, port: number): Promise<RealWorker[]> {
    this.#workers = Math.max(this.#workers, count);
    const outcome = await this.admin("workers", `--num-workers=${count}`, `--port=${port}`);
    if (outcome.code !== 0) throw new Error(outcome.text);
    return this.workers();
  }

  workers(): RealWorker[] {
    return Array.from({ length: this.#workers }, (_, index) => {
      const pidFile = readFileSync(this.pidFile(index), "utf8");
      const config = readFileSync(path.join(this.directory, `config/worker-${index}.json`), "utf8");
      const pid = Number(pidFile.split("\n")[0]);
      this.sessions.add(pid);
      return { pid, url: `http://127.0.0.1:${(JSON.parse(config) as { worker_port: number }).worker_port}` };
    });
  }

  pidFile(index: number): string {
    return path.join(this.directory, `logs/worker-${index}.pid`);
  }

  /** What is there of every worker, those with one of these process ids left out. */
  leftovers(living: readonly number[] = []): Findings {
    return leftovers({
      clusterId: this.id,
      workDirs: Array.from({ length: this.#workers }, (_, index) =>
        path.join(this.directory, `workers/worker-${index}`),
      ),
      sessions: [...this.sessions].filter((session) => !living.includes(session)),
      living,
    });
  }
}

/** The broker of a worker. */
export const brokerOf = (worker: RealWorker): number => {
  const broker = descendantsOf(worker.pid).find((pid) => treesOf(pid).length > 0);
  if (broker === undefined) throw new Error("the worker has no broker, or that has no zygote");
  return broker;
};

/** One call; what went wrong with the connection is the status 0. */
export const callOver = async (
  worker: RealWorker,
  lambda: string,
  event: unknown,
): Promise<{ status: number; text: string }> => {
  try {
    const reply = await fetch(`${worker.url}/run/${lambda}`, {
      method: "POST",
      body: JSON.stringify(event),
      signal: AbortSignal.timeout(60_000),
    });
    return { status: reply.status, text: await reply.text() };
  } catch (error) {
    return { status: 0, text: String(error) };
  }
};
