import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { CleanupStack, type NetworkClass } from "@ol/common";
import { type Sandbox, type SandboxEngine, SandboxPool, type SandboxSpec } from "@ol/sandbox";

import { type EngineKind, engineKind } from "./engines.ts";
import { benchError } from "./errors.ts";
import { treesPssMb } from "./memory.ts";
import { helloWith } from "./worker.ts";

/** A pool of sandboxes used alone: no worker, no HTTP. */
export interface BenchPool extends AsyncDisposable {
  readonly pool: SandboxPool;
  /** What a sandbox with this code is made from. */
  spec(code?: BenchCode): SandboxSpec;
  /** Makes one that has answered a call. */
  start(code?: BenchCode): Promise<Sandbox>;
  /**
   * Makes and ends sandboxes for a second, or as long as the engine wants: caches and compilers are cold before, and the zygote may still be importing the
   * standard library beside whatever is measured.
   */
  warmUp(): Promise<void>;
  /** Acquire to first reply, in ms; the sandbox is destroyed afterwards, outside of the time. */
  measureColdStart(code?: BenchCode): Promise<number>;
  /** What one more idle sandbox costs, in MiB of proportional memory, over `count` of them. */
  measureIdlePssMb(count: number, code?: BenchCode): Promise<number>;
  /** Proportional memory of all processes of the engine, in MiB. */
  pssMb(): Promise<number>;
}

export interface BenchPoolOptions {
  readonly name: string;
  /** Default: sock. */
  readonly engine?: string;
  readonly python: string;
  readonly network: NetworkClass;
  /** Children that wait ready-made; 0 forks one for each sandbox. */
  readonly prepared: number;
  /** Most memory that is promised to sandboxes; default: 4 GB. */
  readonly memoryMb?: number;
  /** Whether sandboxes tell what the steps of making them took. */
  readonly steps?: boolean;
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

const WARMUP_MS = 1_000;
const zygoteId = "packages";
const zygoteWaitMs = 60_000;
/** What a sandbox without packages may hold: what a lambda has by default. */
export const SANDBOX_MB = 50;
/** So much that nobody waits for memory while one of these is being ended and the next is made. */
export const memoryForMb = (sandboxes: number): number => 2 * (sandboxes + 1) * SANDBOX_MB;
/** Larger packages do not fit into that. */
const packagesMb = 256;

/** One call of the hello lambda; fails with OL_BENCH_WRONG_REPLY. */
export const callHello = async (sandbox: Sandbox): Promise<void> => {
  const reply = await sandbox.call({
    invocationId: "bench",
    body: Buffer.from('{"name":"Alice"}'),
    timeoutMs: callTimeoutMs,
  });
  if (reply.failure !== undefined || reply.body.toString() !== '"Hello, Alice!"')
    throw benchError("OL_BENCH_WRONG_REPLY", `the sandbox answered ${reply.body.toString().slice(0, 500)}`);
};

/** As long as sandboxes are made here. */
export const acquire = (pool: SandboxPool, spec: SandboxSpec): Promise<Sandbox> =>
  pool.acquire(spec, { deadlineMs: acquireDeadlineMs });

const specsFor = (
  network: NetworkClass,
  packages: BenchPackages | undefined,
): Record<BenchCode, SandboxSpec> => {
  const limits = {
    memoryMb: packages === undefined ? SANDBOX_MB : packagesMb,
    swappiness: 0,
    procs: 10,
    cpuPercent: 100,
    logMb: 8,
    scratchMb: 512,
  };
  const hello: SandboxSpec = { name: "hello", code: "hello", network, environment: {}, limits };
  const importing = { ...hello, name: "packages", code: "packages", packages: packages?.directories ?? [] };
  return { hello, packages: importing, zygote: { ...importing, zygote: zygoteId } };
};

/** Writes both lambdas; returns the directory that holds them. */
const writeCode = async (directory: string, packages: BenchPackages | undefined): Promise<string> => {
  const codeDir = join(directory, "code");
  const imports = packages?.modules.map((name) => `import ${name}`) ?? [];
  for (const [code, lines] of Object.entries({ hello: [], packages: imports })) {
    await mkdir(join(codeDir, code), { recursive: true });
    await writeFile(join(codeDir, code, "f.py"), helloWith(lines));
  }
  return codeDir;
};

class StartedPool implements BenchPool {
  readonly pool: SandboxPool;
  readonly #engine: SandboxEngine;
  readonly #kind: EngineKind;
  readonly #specs: Record<BenchCode, SandboxSpec>;
  readonly #cleanup: CleanupStack;

  constructor(
    pool: SandboxPool,
    engine: SandboxEngine,
    kind: EngineKind,
    specs: Record<BenchCode, SandboxSpec>,
    cleanup: CleanupStack,
  ) {
    this.pool = pool;
    this.#engine = engine;
    this.#kind = kind;
    this.#specs = specs;
    this.#cleanup = cleanup;
  }

  spec(code: BenchCode = "hello"): SandboxSpec {
    return this.#specs[code];
  }

  async start(code?: BenchCode): Promise<Sandbox> {
    const sandbox = await acquire(this.pool, this.spec(code));
    await callHello(sandbox);
    return sandbox;
  }

  async measureColdStart(code?: BenchCode): Promise<number> {
    const begunMs = performance.now();
    const sandbox = await this.start(code);
    const tookMs = performance.now() - begunMs;
    await sandbox.destroy();
    return tookMs;
  }

  async warmUp(): Promise<void> {
    const endMs = performance.now() + (this.#kind.warmUpMs ?? WARMUP_MS);
    while (performance.now() < endMs) await this.measureColdStart();
  }

  async measureIdlePssMb(count: number, code?: BenchCode): Promise<number> {
    const sandboxes = [await this.start(code)];
    const beforeMb = await this.pssMb();
    for (let made = 0; made < count; made += 1) sandboxes.push(await this.start(code));
    const afterMb = await this.pssMb();
    await Promise.all(sandboxes.map((sandbox) => sandbox.destroy()));
    return (afterMb - beforeMb) / count;
  }

  async pssMb(): Promise<number> {
    return treesPssMb((await this.#kind.roots?.(this.#engine)) ?? [], process.pid);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#cleanup.run();
  }
}

/** Makes an engine and a pool over one hello lambda. */
export const startPool = async (options: BenchPoolOptions): Promise<BenchPool> => {
  const { name, python, network, prepared, packages, steps = false, memoryMb = poolMemoryMb } = options;
  const kind = engineKind(options.engine ?? "sock");
  const cleanup = new CleanupStack();
  try {
    const directory = await mkdtemp(join(tmpdir(), `ol-bench-${name}-`));
    cleanup.add(() => rm(directory, { recursive: true, force: true }));
    const engine = await kind.start({
      name,
      directory,
      codeDir: await writeCode(directory, packages),
      python,
      prepared,
      steps,
      networks: [network],
      packagesDir: packages?.packagesDir,
    });
    cleanup.add(() => engine.close());
    const pool = SandboxPool.create({ engine, memoryMb });
    cleanup.add(() => pool.close());
    if (packages !== undefined) {
      const { directories, modules } = packages;
      const { limits } = specsFor(network, packages).hello;
      const zygote = { network, packages: directories, modules, limits };
      await pool.createZygote(zygoteId, zygote, { deadlineMs: zygoteWaitMs });
    }
    return new StartedPool(pool, engine, kind, specsFor(network, packages), cleanup);
  } catch (error) {
    await cleanup.run();
    throw error;
  }
};
