import { randomInt } from "node:crypto";

import { type Logger, type OlError, isOlError, messageOf, silentLogger } from "@ol/common";

import { within } from "./deadline.ts";
import { Emitter } from "./emitter.ts";
import type {
  EngineSandbox,
  EngineStats,
  EngineZygote,
  SandboxEngine,
  SandboxExit,
  SandboxSpec,
  ZygoteSpec,
} from "./engine.ts";
import { sandboxError } from "./errors.ts";
import type { ConnectionTimers } from "./frames/connection-options.ts";
import { MemoryBudget } from "./memory-budget.ts";
import { PoolZygotes } from "./pool-zygotes.ts";
import { Sandbox, type SandboxObserver } from "./sandbox.ts";
import { checkSpec } from "./spec.ts";

/** What a pool is made from. The engine stays its maker's, who closes it after the pool. */
export interface PoolOptions {
  readonly engine: SandboxEngine;
  /** Most memory promised to sandboxes at any time, in MB. */
  readonly memoryMb: number;
  readonly logger?: Logger;
  /** Longest time that making one sandbox may take, in ms; default 10,000. */
  readonly createMs?: number;
  /** Patience with guests; see DEFAULT_CONNECTION_TIMERS. */
  readonly timers?: Partial<ConnectionTimers>;
}

/** How long a caller of `acquire` waits. */
export interface AcquireOptions {
  readonly signal?: AbortSignal;
  /** Longest wait for memory, in ms; default 10,000. */
  readonly deadlineMs?: number;
}

/** What happens in a pool. Of each sandbox the first event is `create` and the last `destroy`. */
export interface PoolEvents {
  /** Made; its code is being loaded. */
  create: [sandbox: Sandbox];
  /** Its code is loaded. */
  ready: [sandbox: Sandbox];
  /** An EVENT of the guest (log, memory, retire). Only information: the guest is not trusted. */
  guest: [sandbox: Sandbox, name: string, body: Buffer];
  /** Its processes are stopped. */
  paused: [sandbox: Sandbox];
  /** Its processes run again. */
  resumed: [sandbox: Sandbox];
  /** It takes no more calls. */
  destroying: [sandbox: Sandbox];
  /** Nothing of it is left, and its memory is free again. */
  destroy: [sandbox: Sandbox];
  /** A zygote has imported its modules. */
  zygote: [zygote: EngineZygote, spec: ZygoteSpec];
  /** A zygote is gone, and its memory free again. What was forked from it lives on. */
  zygoteGone: [id: string, exit: SandboxExit];
  /** Someone waits for memory; `missingMb` more than is free or being freed. Whoever has idle sandboxes destroys some. */
  pressure: [missingMb: number];
  /** The engine's host process ended; every sandbox is being destroyed. */
  lost: [];
}

/** A snapshot of a pool's numbers. */
export interface PoolStats {
  readonly memoryMb: number;
  /** Memory promised to sandboxes and zygotes that exist, are being made or being destroyed. */
  readonly promisedMb: number;
  /** Sandboxes that exist, those being destroyed included. */
  readonly sandboxes: number;
  /** Sandboxes being made. */
  readonly creating: number;
  readonly zygotes: number;
  /** Callers that wait for memory. */
  readonly waiting: number;
  readonly created: number;
  readonly destroyed: number;
  readonly engine: EngineStats;
}

const DEFAULT_WAIT_MS = 10_000;
const ID_RANDOM = 36 ** 5;

/** Makes sandboxes within a memory budget and keeps track of them until nothing of them is left. */
export class SandboxPool implements AsyncDisposable {
  readonly #engine: SandboxEngine;
  readonly #logger: Logger;
  readonly #createMs: number;
  readonly #timers: Partial<ConnectionTimers>;
  readonly #events: Emitter<PoolEvents>;
  readonly #budget: MemoryBudget;
  readonly #zygotes: PoolZygotes;
  readonly #sandboxes = new Set<Sandbox>();
  /** Sandboxes being made, each with what stops it, and when it is over. */
  readonly #creating = new Map<Promise<unknown>, AbortController>();
  readonly #observer: SandboxObserver;
  #made = 0;
  #created = 0;
  #destroyed = 0;
  /** Why no more sandboxes are made. */
  #over: OlError | undefined;
  #closed: Promise<void> | undefined;

  /** Fails with OL_SANDBOX_BAD_OPTIONS. */
  static create(options: PoolOptions): SandboxPool {
    if (!Number.isFinite(options.memoryMb) || options.memoryMb <= 0)
      throw sandboxError("OL_SANDBOX_BAD_OPTIONS", "A pool's memoryMb must be greater than 0.", {
        details: { field: "memoryMb" },
      });
    return new SandboxPool(options);
  }

  private constructor(options: PoolOptions) {
    this.#engine = options.engine;
    this.#logger = options.logger ?? silentLogger;
    this.#createMs = options.createMs ?? DEFAULT_WAIT_MS;
    this.#timers = options.timers ?? {};
    this.#events = new Emitter(this.#logger);
    this.#budget = new MemoryBudget(options.memoryMb, (missingMb) =>
      this.#events.emit("pressure", missingMb),
    );
    this.#observer = {
      ready: (sandbox) => this.#events.emit("ready", sandbox),
      guestEvent: (sandbox, name, body) => this.#events.emit("guest", sandbox, name, body),
      paused: (sandbox) => this.#events.emit("paused", sandbox),
      resuming: () => undefined,
      resumed: (sandbox) => this.#events.emit("resumed", sandbox),
      destroying: (sandbox) => {
        this.#budget.announce(sandbox.meta.limits.memoryMb);
        this.#events.emit("destroying", sandbox);
      },
      destroyed: (sandbox) => this.#gone(sandbox),
    };
    this.#zygotes = new PoolZygotes(this.#engine, this.#budget, {
      made: (zygote, spec) => this.#events.emit("zygote", zygote, spec),
      gone: (id, exit) => this.#events.emit("zygoteGone", id, exit),
    });
    void this.#engine.lost.then((reason) => this.#lost(reason));
  }

  /** Calls `listener` on every such event; returns what removes it. */
  on<Name extends keyof PoolEvents>(name: Name, listener: (...values: PoolEvents[Name]) => void): () => void {
    return this.#events.on(name, listener);
  }

  /**
   * Makes a sandbox as soon as there is memory for it, in the order of the callers. It takes calls at once; its code
   * may still be loading. Fails with OL_SANDBOX_BAD_OPTIONS, _TOO_LARGE, _NO_MEMORY (deadline), _CANCELLED (signal),
   * _CREATE_FAILED, _BROKER_LOST or _CLOSED.
   */
  async acquire(spec: SandboxSpec, options: AcquireOptions = {}): Promise<Sandbox> {
    const meta = checkSpec(spec);
    const { memoryMb } = meta.limits;
    if (this.#over !== undefined) throw this.#over;
    const { signal, deadlineMs = DEFAULT_WAIT_MS } = options;
    await this.#budget.take(memoryMb, { signal, deadlineMs });
    const stop = new AbortController();
    const abort = (): void => stop.abort(cancelled(signal?.reason));
    signal?.addEventListener("abort", abort);
    const timer = setTimeout(() => stop.abort(this.#tooSlow()), this.#createMs);
    try {
      if (signal?.aborted) abort();
      if (this.#over !== undefined) stop.abort(this.#over);
      return await this.#make(meta, stop);
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
    }
  }

  stats(): PoolStats {
    return {
      memoryMb: this.#budget.totalMb,
      promisedMb: this.#budget.promisedMb,
      sandboxes: this.#sandboxes.size,
      creating: this.#creating.size,
      zygotes: this.#zygotes.size,
      waiting: this.#budget.waiting,
      created: this.#created,
      destroyed: this.#destroyed,
      engine: this.#engine.stats(),
    };
  }

  /**
   * Makes a zygote as soon as there is memory for it; settles when it has imported its modules. Fails with
   * OL_SANDBOX_ZYGOTE_FAILED, _NO_ZYGOTE (the parent), and as `acquire` does.
   */
  async createZygote(id: string, spec: ZygoteSpec, options: AcquireOptions = {}): Promise<EngineZygote> {
    if (this.#over !== undefined) throw this.#over;
    const { signal, deadlineMs = DEFAULT_WAIT_MS } = options;
    return this.#zygotes.create(id, spec, { signal, deadlineMs });
  }

  /** The sandboxes that exist, those being destroyed included. */
  sandboxes(): Sandbox[] {
    return [...this.#sandboxes];
  }

  /** Destroys every sandbox and refuses who waits; settles when nothing is left. Idempotent. The engine stays open. */
  close(): Promise<void> {
    this.#closed ??= this.#end(sandboxError("OL_SANDBOX_CLOSED", "The sandbox pool is closed."));
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Lets the engine make a sandbox; the memory goes back exactly when nothing of it is left. */
  async #make(meta: SandboxSpec, stop: AbortController): Promise<Sandbox> {
    if (stop.signal.aborted) {
      this.#budget.give(meta.limits.memoryMb, false);
      throw stop.signal.reason;
    }
    const made = this.#engine.create(this.#nextId(), meta, stop.signal);
    this.#creating.set(made, stop);
    const settled = made.then(
      (engineSandbox) => this.#adopt(engineSandbox, meta, stop.signal),
      (error: unknown) => {
        this.#budget.give(meta.limits.memoryMb, false);
        throw stop.signal.aborted ? stop.signal.reason : createError(error);
      },
    );
    const over = settled.finally(() => this.#creating.delete(made));
    return Promise.race([over, aborted(stop.signal, over)]);
  }

  /** Whoever asked may be gone by now; then it is destroyed again. */
  #adopt(engineSandbox: EngineSandbox, meta: SandboxSpec, signal: AbortSignal): Sandbox {
    const sandbox = new Sandbox(engineSandbox, meta, this.#observer, this.#logger, this.#timers);
    this.#sandboxes.add(sandbox);
    this.#created += 1;
    this.#events.emit("create", sandbox);
    if (!signal.aborted) return sandbox;
    void sandbox.destroy();
    throw signal.reason;
  }

  #gone(sandbox: Sandbox): void {
    this.#sandboxes.delete(sandbox);
    this.#destroyed += 1;
    this.#budget.give(sandbox.meta.limits.memoryMb, true);
    this.#events.emit("destroy", sandbox);
  }

  #nextId(): string {
    this.#made += 1;
    return `${this.#made.toString(36)}-${randomInt(ID_RANDOM).toString(36).padStart(5, "0")}`;
  }

  #lost(reason: string): void {
    if (this.#over !== undefined) return;
    this.#logger.error("the sandbox engine was lost", { engine: this.#engine.name, reason });
    this.#events.emit("lost");
    void this.#end(sandboxError("OL_SANDBOX_BROKER_LOST", reason));
  }

  async #end(reason: OlError): Promise<void> {
    this.#over = reason;
    this.#budget.refuseAll(reason);
    for (const stop of this.#creating.values()) stop.abort(reason);
    // What the engine still makes is adopted first and destroyed then; also if that is after this wait.
    await within(Promise.allSettled(this.#creating.keys()), this.#createMs);
    await Promise.all([this.#zygotes.end(reason), ...this.sandboxes().map((sandbox) => sandbox.destroy())]);
  }

  #tooSlow(): OlError {
    return sandboxError("OL_SANDBOX_CREATE_FAILED", `The sandbox was not made within ${this.#createMs} ms.`);
  }
}

/** Rejects with the signal's reason; forgets about it once `over` settled. */
const aborted = (signal: AbortSignal, over: Promise<unknown>): Promise<never> =>
  new Promise((_, reject) => {
    const abort = (): void => reject(signal.reason as OlError);
    signal.addEventListener("abort", abort);
    const forget = (): void => signal.removeEventListener("abort", abort);
    over.then(forget, forget);
  });

const cancelled = (reason: unknown): OlError =>
  sandboxError("OL_SANDBOX_CANCELLED", "The caller no longer wants the sandbox.", { cause: reason });

const createError = (error: unknown): OlError =>
  isOlError(error)
    ? error
    : sandboxError("OL_SANDBOX_CREATE_FAILED", `The engine failed: ${messageOf(error)}`, { cause: error });
