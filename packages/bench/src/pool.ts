import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { CleanupStack, type NetworkClass } from "@ol/common";
import { type Sandbox, SandboxPool, type SandboxSpec, SockEngine } from "@ol/sandbox";

import { benchError } from "./errors.ts";
import { descendantsPssMb } from "./memory.ts";

/** A pool of sandboxes used alone: no worker, no HTTP. */
export interface BenchPool extends AsyncDisposable {
  /** Acquire to first reply, in ms; the sandbox is destroyed afterwards, outside of the time. */
  measureColdStart(): Promise<number>;
  /** What one more idle sandbox costs, in MiB of proportional memory, over `count` of them. */
  measureIdlePssMb(count: number): Promise<number>;
}

export interface BenchPoolOptions {
  readonly name: string;
  readonly python: string;
  readonly network: NetworkClass;
  /** Children that wait ready-made; 0 forks one for each sandbox. */
  readonly prepared: number;
}

const poolMemoryMb = 4096;
const callTimeoutMs = 10_000;
const acquireDeadlineMs = 10_000;

const handler = 'def f(event):\n    return "Hello, %s!" % event.get("name", "World")\n';

const firstReply = async (pool: SandboxPool, spec: SandboxSpec): Promise<Sandbox> => {
  const sandbox = await pool.acquire(spec, { deadlineMs: acquireDeadlineMs });
  const reply = await sandbox.call({
    invocationId: "bench",
    body: Buffer.from('{"name":"Alice"}'),
    timeoutMs: callTimeoutMs,
  });
  if (reply.failure !== undefined || reply.body.toString() !== '"Hello, Alice!"')
    throw benchError("OL_BENCH_WRONG_REPLY", `the sandbox answered ${reply.body.toString().slice(0, 500)}`);
  return sandbox;
};

const measureColdStart = async (pool: SandboxPool, spec: SandboxSpec): Promise<number> => {
  const begunMs = performance.now();
  const sandbox = await firstReply(pool, spec);
  const tookMs = performance.now() - begunMs;
  await sandbox.destroy();
  return tookMs;
};

const measureIdlePssMb = async (pool: SandboxPool, spec: SandboxSpec, count: number): Promise<number> => {
  const sandboxes = [await firstReply(pool, spec)];
  const beforeMb = await descendantsPssMb(process.pid);
  for (let made = 0; made < count; made += 1) sandboxes.push(await firstReply(pool, spec));
  const afterMb = await descendantsPssMb(process.pid);
  await Promise.all(sandboxes.map((sandbox) => sandbox.destroy()));
  return (afterMb - beforeMb) / count;
};

/** Makes an engine and a pool over one hello lambda. */
export const startPool = async (options: BenchPoolOptions): Promise<BenchPool> => {
  const cleanup = new CleanupStack();
  try {
    const directory = await mkdtemp(join(tmpdir(), `ol-bench-${options.name}-`));
    cleanup.add(() => rm(directory, { recursive: true, force: true }));
    const codeDir = join(directory, "code");
    await mkdir(join(codeDir, "hello"), { recursive: true });
    await writeFile(join(codeDir, "hello", "f.py"), handler);
    const engine = await SockEngine.create({
      clusterId: `b${randomBytes(4).toString("hex")}`.slice(0, 8),
      workerName: options.name,
      workDir: join(directory, "work"),
      codeDir,
      python: options.python,
      prepared: options.prepared,
    });
    cleanup.add(() => engine.close());
    const pool = SandboxPool.create({ engine, memoryMb: poolMemoryMb });
    cleanup.add(() => pool.close());
    const spec: SandboxSpec = {
      name: "hello",
      code: "hello",
      network: options.network,
      environment: {},
      limits: { memoryMb: 50, swappiness: 0, procs: 10, cpuPercent: 100, logMb: 8, scratchMb: 512 },
    };
    return {
      measureColdStart: () => measureColdStart(pool, spec),
      measureIdlePssMb: (count) => measureIdlePssMb(pool, spec, count),
      [Symbol.asyncDispose]: () => cleanup.run(),
    };
  } catch (error) {
    await cleanup.run();
    throw error;
  }
};
