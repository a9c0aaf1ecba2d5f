import { execFileSync } from "node:child_process";
import { chown, mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

import type { SockEngineOptions } from "../../src/sock/options.ts";
import type { Account } from "./accounts.ts";
import { type ChaosWorkerOptions, ChaosWorker } from "./chaos-worker.ts";
import { type Findings, leftovers } from "./leftovers.ts";

const WAIT_MS = 20_000;
const STEP_MS = 20;

/** Waits until `check` is true; a test's only way to see the end of processes that are not its children. */
export const eventually = async (check: () => boolean, ms = WAIT_MS): Promise<boolean> => {
  const deadline = Date.now() + ms;
  while (!check()) {
    if (Date.now() > deadline) return false;
    await new Promise((resolve) => setTimeout(resolve, STEP_MS));
  }
  return true;
};

/** Removes whatever a test made: nested too deep for Node's own removal, or closed even to its owner. */
export const removeAll = (directory: string): void => {
  execFileSync("chmod", ["-R", "u+rwX", "--", directory]);
  execFileSync("rm", ["-rf", "--", directory]);
};

/** One worker's place on the machine, in which chaos workers are started one after the other. */
export class TestCluster implements AsyncDisposable {
  readonly account: Account;
  readonly id: string;
  readonly directory: string;
  readonly workDir: string;
  /** Every process id that was a chaos worker here, which is also its session. */
  readonly sessions: number[] = [];
  readonly #workers: ChaosWorker[] = [];

  static async create(account: Account): Promise<TestCluster> {
    const directory = await mkdtemp(path.join(tmpdir(), "ol-chaos-"));
    if (account.uid !== undefined) await chown(directory, account.uid, account.uid);
    return new TestCluster(account, directory);
  }

  private constructor(account: Account, directory: string) {
    this.account = account;
    this.directory = directory;
    this.workDir = path.join(directory, "work");
    this.id = Math.random().toString(36).slice(2, 10).padEnd(8, "0");
  }

  get engine(): Omit<SockEngineOptions, "logger"> {
    const { program } = this.account;
    const here = program === undefined ? fileURLToPath(import.meta.url) : program;
    return {
      clusterId: this.id,
      workerName: "worker-0",
      workDir: this.workDir,
      codeDir: path.join(path.dirname(here), "handlers"),
      networks: ["none"],
    };
  }

  async start(
    options: Partial<Omit<ChaosWorkerOptions, "engine" | "account">> & {
      readonly engine?: Partial<SockEngineOptions>;
    } = {},
  ): Promise<ChaosWorker> {
    const worker = await ChaosWorker.start({
      ...options,
      account: this.account,
      engine: { ...this.engine, ...options.engine },
    });
    this.sessions.push(worker.pid);
    this.#workers.push(worker);
    return worker;
  }

  /** What is there of every worker but `living`. */
  leftovers(living?: ChaosWorker): Findings {
    return leftovers({
      clusterId: this.id,
      workDirs: [this.workDir],
      sessions: this.sessions.filter((session) => session !== living?.pid),
      living: living === undefined ? [] : [living.pid],
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const worker of this.#workers) await worker[Symbol.asyncDispose]();
    await eventually(() => this.leftovers().every((line) => !line.startsWith("process")));
    removeAll(this.directory);
  }
}
