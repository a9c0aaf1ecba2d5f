import { CleanupStack, formatLoad, isOlError, type LoadReport, type OlError, silentLogger } from "@ol/common";
import {
  type CallPhases,
  GrowingTree,
  LambdaManager,
  LEAST_BUDGET_MB,
  NoZygotes,
  type ReportedState,
  type TraceRecord,
  ZygoteKeeper,
  type ZygotePolicy,
} from "@ol/lambda";
import {
  EVICTION_POLICIES,
  type EvictionPolicyName,
  type Evictor,
  type PoolStats,
  SandboxPool,
} from "@ol/sandbox";

import type { Random } from "../zygotes/random.ts";
import { CodeShelf } from "./code-shelf.ts";
import { VirtualHost } from "./engine.ts";
import type { VirtualLambda } from "./lambdas.ts";
import type { Machine } from "./machine.ts";
import type { PackageIndex } from "./package-index.ts";
import { OneThread } from "./shared-cpu.ts";

/** How a worker is configured; plain data unless one of its policies is a function. */
export interface VirtualWorkerOptions {
  readonly slots: number;
  readonly memoryMb: number;
  /** The limit of each sandbox, which is what memory is promised by. */
  readonly sandboxMb: number;
  readonly eviction?: EvictionPolicyName | Evictor;
  /** As the worker's import_cache, or what makes a policy of one's own for so much memory. Default `auto`. */
  readonly zygotes?: "off" | "auto" | ((budgetMb: number) => ZygotePolicy);
  readonly queueTimeoutMs?: number;
  /** After this time without a call a sandbox is paused; 0 is never. */
  readonly pauseLingerMs?: number;
  /** Hears of every call that a sandbox had. */
  readonly trace?: (record: TraceRecord) => void;
}

/** What came of a call. */
export interface VirtualReply {
  readonly error: OlError | undefined;
  /** Whether a sandbox may have begun it. */
  readonly started: boolean;
  readonly phases: CallPhases | undefined;
}

/** As the configuration's defaults. */
const QUEUE_TIMEOUT_MS = 10_000;
const PAUSE_LINGER_MS = 1_000;
const REGISTRY_CACHE_MS = 5_000;
const RUNTIME_SEC = 30;
/** Of the memory that sandboxes share, what zygotes may hold; as the worker has it. */
const ZYGOTE_SHARE = 0.1;
const NO_HEADERS: readonly string[] = [];
const EVENT = Buffer.from("{}");

/**
 * A worker in virtual time. Its queues, autoscaling, memory budget, eviction and zygotes are not a model of those of the real one: they are the
 * same code, over an engine whose sandboxes take the time that they cost.
 */
export class VirtualWorker implements AsyncDisposable {
  readonly #machine: Machine;
  readonly #process: OneThread;
  readonly #pool: SandboxPool;
  readonly #zygotes: ZygoteKeeper;
  readonly #manager: LambdaManager;
  readonly #cleanup: CleanupStack;
  #calls = 0;

  static async create(
    machine: Machine,
    lambdas: readonly VirtualLambda[],
    index: PackageIndex,
    random: Random,
    options: VirtualWorkerOptions,
  ): Promise<VirtualWorker> {
    const cleanup = new CleanupStack();
    const { engine } = new VirtualHost(machine, lambdas, index, random);
    cleanup.add(() => engine.close());
    const { memoryMb, eviction = "default" } = options;
    const evictor = typeof eviction === "string" ? EVICTION_POLICIES[eviction]() : eviction;
    const pool = SandboxPool.create({ engine, memoryMb, evictor });
    cleanup.add(() => pool.close());
    const budgetMb = Math.max(LEAST_BUDGET_MB, memoryMb * ZYGOTE_SHARE);
    const zygotes = await ZygoteKeeper.create({
      pool,
      makePolicy: zygotePolicy(options.zygotes ?? "auto", budgetMb),
      logger: silentLogger,
    });
    cleanup.add(() => zygotes.close());
    const manager = makeManager(machine, new CodeShelf(lambdas, index), { ...options, pool, zygotes });
    cleanup.add(() => manager.close());
    await manager.keepWarm();
    return new VirtualWorker(machine, { pool, zygotes, manager, cleanup });
  }

  private constructor(
    machine: Machine,
    parts: {
      readonly pool: SandboxPool;
      readonly zygotes: ZygoteKeeper;
      readonly manager: LambdaManager;
      readonly cleanup: CleanupStack;
    },
  ) {
    this.#machine = machine;
    this.#process = new OneThread(machine.cpu);
    this.#pool = parts.pool;
    this.#zygotes = parts.zygotes;
    this.#manager = parts.manager;
    this.#cleanup = parts.cleanup;
  }

  /** Settles when the call is answered. */
  async call(name: string): Promise<VirtualReply> {
    await this.#process.run(this.#machine.costs.workerMs);
    this.#calls += 1;
    const request = {
      invocationId: `call-${this.#calls}`,
      body: EVENT,
      traceparent: "",
      rawHeaders: NO_HEADERS,
      http: { method: "POST", mount: `/run/${name}`, path: "", query: "", client: "127.0.0.1" },
    };
    return new Promise((resolve) => {
      const over = (error?: OlError): void =>
        // A refusal may come before `invoke` has returned.
        queueMicrotask(() => resolve({ error, started: invocation.started, phases: invocation.phases() }));
      const invocation = this.#manager.invoke(name, request, {
        whole: () => over(),
        start: () => undefined,
        chunk: () => true,
        end: () => over(),
        fail: over,
      });
    });
  }

  load(): LoadReport {
    return this.#manager.load();
  }

  /** X-OL-Load and X-OL-Warm. */
  report(): { readonly load: string; readonly warm: string } {
    return { load: formatLoad(this.load()), warm: this.#manager.changes.text };
  }

  /** What it answers to GET /state. */
  state(since: number | undefined): ReportedState & { readonly v: 1 } {
    return { v: 1, ...this.#manager.reported(since) };
  }

  /** Sandboxes so far that imported packages themselves. */
  get imports(): number {
    const { partial, miss } = this.#zygotes.stats().uses;
    return partial + miss;
  }

  get pool(): PoolStats {
    return this.#pool.stats();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#cleanup.run();
  }
}

const zygotePolicy = (
  wanted: NonNullable<VirtualWorkerOptions["zygotes"]>,
  budgetMb: number,
): (() => ZygotePolicy) => {
  if (wanted === "off") return () => new NoZygotes();
  return wanted === "auto" ? () => new GrowingTree({ budgetMb }) : () => wanted(budgetMb);
};

const makeManager = (
  { cpu }: Machine,
  shelf: CodeShelf,
  options: Omit<VirtualWorkerOptions, "zygotes"> & {
    readonly pool: SandboxPool;
    readonly zygotes: ZygoteKeeper;
  },
): LambdaManager =>
  new LambdaManager({
    pool: options.pool,
    source: shelf,
    packages: shelf,
    zygotes: options.zygotes,
    limits: {
      memoryMb: options.sandboxMb,
      swappiness: 0,
      procs: 10,
      cpuPercent: 100,
      logMb: 8,
      scratchMb: 64,
      runtimeSec: RUNTIME_SEC,
      bodyMb: 6,
    },
    network: "none",
    slots: options.slots,
    cpus: Number.isFinite(cpu.cores) ? cpu.cores : options.slots,
    queueTimeoutMs: options.queueTimeoutMs ?? QUEUE_TIMEOUT_MS,
    pauseLingerMs: options.pauseLingerMs ?? PAUSE_LINGER_MS,
    registryCacheMs: REGISTRY_CACHE_MS,
    ...(options.trace !== undefined && { trace: options.trace }),
  });

/** The status that a client would see. */
export const statusOf = ({ error }: VirtualReply): number => {
  if (error === undefined) return 200;
  return isOlError(error) ? error.status : 500;
};
