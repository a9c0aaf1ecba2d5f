import { randomInt } from "node:crypto";

import {
  type Deferred,
  deferred,
  type Logger,
  type OlError,
  isOlError,
  messageOf,
  silentLogger,
  within,
} from "@ol/common";

import type { EngineZygote, SandboxEngine, SandboxSpec, ZygoteSpec } from "./engine.ts";
import { sandboxError } from "./errors.ts";
import { Eviction } from "./eviction.ts";
import { makeEvictor } from "./evictor.ts";
import type { ConnectionTimers } from "./frames/connection-options.ts";
import { MemoryBudget, MemoryClaim } from "./memory-budget.ts";
import { PoolNews } from "./pool-news.ts";
import type { AcquireOptions, PoolEvents, PoolOptions, PoolStats } from "./pool-types.ts";
import { PoolZygotes } from "./pool-zygotes.ts";
import { Residents } from "./residents.ts";
import { Sandbox, type SandboxObserver } from "./sandbox.ts";
import { checkSpec } from "./spec.ts";

const DEFAULT_WAIT_MS = 10_000;
const MIB = 1_048_576;
const ID_RANDOM = 36 ** 5;

/**
 * Makes sandboxes within a memory budget and keeps track of them until nothing of them is left. When memory is short
 * it destroys those that its evictor names: by default only such that nobody needs at the moment.
 */
export class SandboxPool implements AsyncDisposable {
  readonly #engine: SandboxEngine;
  readonly #logger: Logger;
  readonly #createMs: number;
  readonly #timers: Partial<ConnectionTimers>;
  readonly #news: PoolNews;
  readonly #budget: MemoryBudget;
  readonly #zygotes: PoolZygotes;
  readonly #eviction: Eviction;
  readonly #resumeMs: number;
  readonly #residents: Residents;
  /** Sandboxes being made, each with what stops it, and when it is over. */
  readonly #creating = new Map<Promise<unknown>, AbortController>();
  readonly #observer: SandboxObserver;
  #made = 0;
  #created = 0;
  #destroyed = 0;
  #evicted = 0;
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
    this.#news = new PoolNews(this.#logger);
    this.#resumeMs = options.resumeMs ?? DEFAULT_WAIT_MS;
    this.#budget = new MemoryBudget(options.memoryMb, () => this.#eviction.run());
    this.#residents = new Residents(this.#budget, this.#logger);
    this.#zygotes = new PoolZygotes(this.#engine, this.#budget, {
      made: (zygote, spec) => this.#news.zygoteMade(zygote, spec),
      failed: (id, spec, error) => this.#news.zygoteFailed(id, spec, error),
      evicting: (id) => this.#news.zygoteEvicting(id),
      gone: (id, exit) => this.#news.zygoteGone(id, exit),
      unkillable: (zygote, error) =>
        this.#logger.error("a zygote could not be ended", { zygote, error: messageOf(error) }),
    });
    const stock = {
      snapshot: (missingMb: number, trial: boolean) => ({
        missingMb,
        trial,
        making: this.#creating.size + this.#zygotes.making,
        firstInLine: this.#residents.firstInLine(),
        sandboxes: this.#residents.evictable(),
        zygotes: this.#zygotes.evictable(),
      }),
      evict: (id: string) => this.#evict(id) || this.#zygotes.evict(id),
    };
    this.#eviction = new Eviction(this.#budget, options.evictor ?? makeEvictor(), stock, this.#logger);
    this.#observer = {
      idle: () => this.#budget.remind(),
      ready: (sandbox) => {
        this.#residents.loaded(sandbox);
        this.#news.ready(sandbox);
      },
      guestEvent: (sandbox, name, body) => this.#news.guest(sandbox, name, body),
      paused: (sandbox) => {
        this.#news.paused(sandbox);
        if (options.downsizePaused !== false) void this.#residents.lend(sandbox);
        this.#budget.remind();
      },
      resuming: (sandbox) => this.#residents.takeBack(sandbox, this.#resumeMs),
      resumed: (sandbox) => this.#news.resumed(sandbox),
      destroying: (sandbox) => {
        this.#residents.ending(sandbox);
        this.#news.destroying(sandbox);
      },
      destroyed: (sandbox) => this.#gone(sandbox),
    };
    void this.#engine.lost.then((reason) => this.#lost(reason));
  }

  /** Calls `listener` on every such event; returns what removes it. */
  on<Name extends keyof PoolEvents>(name: Name, listener: (...values: PoolEvents[Name]) => void): () => void {
    return this.#news.on(name, listener);
  }

  /**
   * Makes a sandbox as soon as there is memory for it, in the order of the callers. It takes calls at once; its code
   * may still be loading. Fails with OL_SANDBOX_BAD_OPTIONS, _TOO_LARGE, _NO_MEMORY (deadline), _CANCELLED (signal),
   * _CREATE_FAILED, _BROKER_LOST or _CLOSED.
   */
  async acquire(spec: SandboxSpec, options: AcquireOptions = {}): Promise<Sandbox> {
    const meta = checkSpec(spec);
    if (this.#over !== undefined) throw this.#over;
    const { signal, deadlineMs = DEFAULT_WAIT_MS } = options;
    // A zygote that somebody waits to fork from does not go to make room for it.
    const leave = this.#zygotes.join(meta.zygote);
    try {
      return await this.#acquire(meta, signal, deadlineMs);
    } catch (error) {
      this.#news.createFailed(meta, error as OlError);
      throw error;
    } finally {
      leave();
    }
  }

  async #acquire(meta: SandboxSpec, signal: AbortSignal | undefined, deadlineMs: number): Promise<Sandbox> {
    const claim = new MemoryClaim();
    const askedMs = performance.now();
    await this.#budget.take(claim, meta.limits.memoryMb, { signal, deadlineMs });
    const waitedMs = performance.now() - askedMs;
    const stop = new AbortController();
    const abort = (): void => stop.abort(cancelled(signal?.reason));
    signal?.addEventListener("abort", abort);
    const timer = setTimeout(() => stop.abort(this.#tooSlow()), this.#createMs);
    try {
      if (signal?.aborted) abort();
      if (this.#over !== undefined) stop.abort(this.#over);
      return await this.#make(meta, claim, waitedMs, stop);
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
    }
  }

  /**
   * Whether a sandbox of that size would get memory without a running one having to go: it is free, or what the evictor
   * would destroy for it is enough.
   */
  hasRoom(memoryMb: number): boolean {
    return this.#eviction.hasRoom(memoryMb);
  }

  /** Whether somebody waits for memory. */
  get short(): boolean {
    return this.#budget.waiting > 0;
  }

  /** What all sandboxes hold now, in MB; one that ends meanwhile counts as nothing. Measures each: not for often. */
  async usedMb(): Promise<number> {
    const sizes = this.sandboxes().map((sandbox) => sandbox.memoryBytes().catch(() => 0));
    return (await Promise.all(sizes)).reduce((sum, bytes) => sum + bytes, 0) / MIB;
  }

  /** A snapshot of its numbers. */
  stats(): PoolStats {
    return {
      memoryMb: this.#budget.totalMb,
      promisedMb: this.#budget.promisedMb,
      sandboxes: this.#residents.size,
      creating: this.#creating.size,
      zygotes: this.#zygotes.size,
      waiting: this.#budget.waiting,
      created: this.#created,
      destroyed: this.#destroyed,
      evicted: this.#evicted,
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
    return this.#residents.sandboxes();
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
  async #make(
    meta: SandboxSpec,
    claim: MemoryClaim,
    waitedMs: number,
    stop: AbortController,
  ): Promise<Sandbox> {
    if (stop.signal.aborted) {
      this.#budget.give(claim);
      throw stop.signal.reason;
    }
    const askedMs = performance.now();
    // An engine may be anybody's, and throw instead of rejecting.
    const made = (async () => this.#engine.create(this.#nextId(), meta, stop.signal))();
    this.#creating.set(made, stop);
    const handed = deferred<Sandbox>();
    stop.signal.addEventListener("abort", () => handed.reject(stop.signal.reason));
    const over = made.then(
      (engineSandbox) => {
        const sandbox = new Sandbox(engineSandbox, meta, this.#observer, this.#logger, this.#timers);
        const madeMs = performance.now();
        sandbox.making = { waitedMs, makeMs: madeMs - askedMs, madeMs };
        this.#residents.add(sandbox, claim, askedMs);
        return this.#adopt(sandbox, stop.signal, handed);
      },
      (error: unknown) => {
        this.#budget.give(claim);
        return handed.reject(createError(error));
      },
    );
    void over.finally(() => this.#creating.delete(made));
    return handed.promise;
  }

  /** Whoever asked may be gone by now; then it is destroyed again. From here on it is theirs: they see to its end. */
  #adopt(sandbox: Sandbox, signal: AbortSignal, handed: Deferred<Sandbox>): void {
    this.#created += 1;
    this.#news.created(sandbox);
    if (signal.aborted) void sandbox.destroy();
    else handed.resolve(sandbox);
  }

  #gone(sandbox: Sandbox): void {
    this.#destroyed += 1;
    this.#residents.remove(sandbox);
    this.#news.destroyed(sandbox);
  }

  #evict(id: string): boolean {
    const sandbox = this.#residents.get(id);
    if (sandbox === undefined || sandbox.ended !== undefined) return false;
    this.#evicted += 1;
    this.#news.evicting(sandbox);
    void sandbox.destroy("The sandbox was destroyed: its memory was needed for another one.");
    return true;
  }

  #nextId(): string {
    this.#made += 1;
    return `${this.#made.toString(36)}-${randomInt(ID_RANDOM).toString(36).padStart(5, "0")}`;
  }

  #lost(reason: string): void {
    if (this.#over !== undefined) return;
    this.#logger.error("the sandbox engine was lost", { engine: this.#engine.name, reason });
    this.#news.lost();
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

const cancelled = (reason: unknown): OlError =>
  sandboxError("OL_SANDBOX_CANCELLED", "The caller no longer wants the sandbox.", { cause: reason });

const createError = (error: unknown): OlError =>
  isOlError(error)
    ? error
    : sandboxError("OL_SANDBOX_CREATE_FAILED", `The engine failed: ${messageOf(error)}`, { cause: error });
