import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { CleanupStack, type NetworkClass } from "@ol/common";
import { type Sandbox, SandboxPool, type SandboxSpec, SockEngine } from "@ol/sandbox";

import { benchError } from "./errors.ts";
import { descendantsPssMb } from "./memory.ts";
import { helloWith } from "./worker.ts";

/** A pool of sandboxes used alone: no worker, no HTTP. */
export interface BenchPool extends AsyncDisposable {
  /** Acquire to first reply, in ms; the sandbox is destroyed afterwards, outside of the time. */
  measureColdStart(code?: BenchCode): Promise<number>;
  /** What one more idle sandbox costs, in MiB of proportional memory, over `count` of them. */
  measureIdlePssMb(count: number, code?: BenchCode): Promise<number>;
}

export interface BenchPoolOptions {
  readonly name: string;
  readonly python: string;
  readonly network: NetworkClass;
  /** Children that wait ready-made; 0 forks one for each sandbox. */
  readonly prepared: number;
  /** Code that imports packages, beside the one that imports nothing. */
  readonly packages?: BenchPackages;
}

/** Installed packages, and what a lambda imports of them. */
export interface BenchPackages {
  readonly packagesDir: string;
  /** Relative to `packagesDir`. */
  readonly directories: readonly string[];
  readonly modules: readonly string[];
}

/** `packages`: imports them itself · `zygote`: is forked from a zygote that has imported them. */
export type BenchCode = "hello" | "packages" | "zygote";

const poolMemoryMb = 4096;
const callTimeoutMs = 10_000;
const acquireDeadlineMs = 10_000;

const zygoteId = "packages";
const zygoteWaitMs = 60_000;
const sandboxMb = 50;
/** Larger packages do not fit into what a lambda has by default. */
const packagesMb = 256;

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
    const { packages } = options;
    const imports = packages?.modules.map((name) => `import ${name}`) ?? [];
    for (const [code, lines] of Object.entries({ hello: [], packages: imports })) {
      await mkdir(join(codeDir, code), { recursive: true });
      await writeFile(join(codeDir, code, "f.py"), helloWith(lines));
    }
    const engine = await SockEngine.create({
      clusterId: `b${randomBytes(4).toString("hex")}`.slice(0, 8),
      workerName: options.name,
      workDir: join(directory, "work"),
      codeDir,
      python: options.python,
      prepared: options.prepared,
      ...(packages !== undefined && { packagesDir: packages.packagesDir }),
    });
    cleanup.add(() => engine.close());
    const pool = SandboxPool.create({ engine, memoryMb: poolMemoryMb });
    cleanup.add(() => pool.close());
    const limits = {
      memoryMb: packages === undefined ? sandboxMb : packagesMb,
      swappiness: 0,
      procs: 10,
      cpuPercent: 100,
      logMb: 8,
      scratchMb: 512,
    };
    const hello: SandboxSpec = {
      name: "hello",
      code: "hello",
      network: options.network,
      environment: {},
      limits,
    };
    const importing = { ...hello, name: "packages", code: "packages", packages: packages?.directories ?? [] };
    const specs = { hello, packages: importing, zygote: { ...importing, zygote: zygoteId } };
    if (packages !== undefined) {
      const { directories, modules } = packages;
      const zygote = { network: options.network, packages: directories, modules, limits };
      await pool.createZygote(zygoteId, zygote, { deadlineMs: zygoteWaitMs });
    }
    return {
      measureColdStart: (code = "hello") => measureColdStart(pool, specs[code]),
      measureIdlePssMb: (count, code = "hello") => measureIdlePssMb(pool, specs[code], count),
      [Symbol.asyncDispose]: () => cleanup.run(),
    };
  } catch (error) {
    await cleanup.run();
    throw error;
  }
};
