import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";

import type { SandboxSpec } from "../engine.ts";
import { SandboxPool } from "../pool.ts";
import type { Reply } from "../sandbox.ts";
import { SockEngine } from "./engine.ts";
import type { SockEngineOptions } from "./options.ts";

/** What a look at a machine or a base may be told. */
export type Inspected = Pick<SockEngineOptions, "python" | "baseDir">;

const LIMITS = { memoryMb: 100, swappiness: 0, procs: 10, cpuPercent: 100, logMb: 1, scratchMb: 10 };
const TIMEOUT_MS = 10_000;

/** An engine of its own, in a temporary directory that goes with it, and one lambda. */
export class Trial implements AsyncDisposable {
  readonly engine: SockEngine;
  readonly pool: SandboxPool;
  readonly spec: SandboxSpec = {
    name: "trial",
    code: "trial",
    network: "none",
    environment: {},
    limits: LIMITS,
  };
  readonly #directory: string;

  /** `code` is the lambda's f.py. Fails as SockEngine.create does. */
  static async create(code: string, { python, baseDir }: Inspected): Promise<Trial> {
    const directory = await mkdtemp(path.join(tmpdir(), "ol-doctor-"));
    try {
      const codeDir = path.join(directory, "code");
      await mkdir(path.join(codeDir, "trial"), { recursive: true });
      await writeFile(path.join(codeDir, "trial", "f.py"), code);
      const engine = await SockEngine.create({
        clusterId: Math.random().toString(36).slice(2, 10).padEnd(8, "0"),
        workerName: "doctor",
        workDir: path.join(directory, "work"),
        codeDir,
        prepared: 0,
        networks: [],
        ...(python !== undefined && { python }),
        ...(baseDir !== undefined && { baseDir }),
      });
      return new Trial(engine, directory);
    } catch (error) {
      await rm(directory, { recursive: true, force: true });
      throw error;
    }
  }

  private constructor(engine: SockEngine, directory: string) {
    this.engine = engine;
    this.pool = SandboxPool.create({ engine, memoryMb: 2 * LIMITS.memoryMb });
    this.#directory = directory;
  }

  /** Calls the lambda in a new sandbox. */
  async call(body: Buffer): Promise<Reply> {
    const sandbox = await this.pool.acquire(this.spec);
    return sandbox.call({ invocationId: "doctor", body, timeoutMs: TIMEOUT_MS });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.pool.close();
    await this.engine.close();
    await rm(this.#directory, { recursive: true, force: true });
  }
}
