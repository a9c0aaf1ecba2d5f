import { type OlError, isOlError } from "@ol/common";

import type { EngineZygote, SandboxEngine, SandboxExit, ZygoteSpec } from "./engine.ts";
import { sandboxError } from "./errors.ts";
import type { MemoryBudget } from "./memory-budget.ts";
import { checkZygoteId, checkZygoteSpec } from "./spec.ts";

/** What is heard of a pool's zygotes. */
export interface ZygoteObserver {
  readonly made: (zygote: EngineZygote, spec: ZygoteSpec) => void;
  readonly gone: (id: string, exit: SandboxExit) => void;
}

/** A pool's zygotes: each is promised the memory of its limits until it is gone. */
export class PoolZygotes {
  readonly #engine: SandboxEngine;
  readonly #budget: MemoryBudget;
  readonly #observer: ZygoteObserver;
  readonly #zygotes = new Set<EngineZygote>();
  readonly #making = new Map<Promise<unknown>, AbortController>();
  #over: OlError | undefined;

  constructor(engine: SandboxEngine, budget: MemoryBudget, observer: ZygoteObserver) {
    this.#engine = engine;
    this.#budget = budget;
    this.#observer = observer;
  }

  get size(): number {
    return this.#zygotes.size;
  }

  /** See SandboxPool.createZygote. */
  async create(
    id: string,
    wanted: ZygoteSpec,
    wait: { readonly signal: AbortSignal | undefined; readonly deadlineMs: number },
  ): Promise<EngineZygote> {
    const spec = checkZygoteSpec(wanted);
    checkZygoteId(id);
    if (this.#engine.createZygote === undefined)
      throw sandboxError("OL_SANDBOX_BAD_OPTIONS", `The engine ${this.#engine.name} has no zygotes.`);
    const { memoryMb } = spec.limits;
    await this.#budget.take(memoryMb, wait);
    if (this.#over !== undefined) {
      this.#budget.give(memoryMb, false);
      throw this.#over;
    }
    const stop = new AbortController();
    const abort = (): void => stop.abort(wait.signal?.reason);
    wait.signal?.addEventListener("abort", abort, { once: true });
    const making = this.#engine.createZygote(id, spec, stop.signal);
    this.#making.set(making, stop);
    try {
      const zygote = await making;
      this.#adopt(zygote, spec);
      return zygote;
    } catch (error) {
      this.#budget.give(memoryMb, false);
      if (stop.signal.aborted) throw cancelled(stop.signal.reason);
      throw error;
    } finally {
      this.#making.delete(making);
      wait.signal?.removeEventListener("abort", abort);
    }
  }

  /** Ends all of them, and those being made. */
  async end(reason: OlError): Promise<void> {
    this.#over = reason;
    for (const stop of this.#making.values()) stop.abort(reason);
    await Promise.allSettled(this.#making.keys());
    await Promise.all([...this.#zygotes].map((zygote) => zygote.kill()));
  }

  #adopt(zygote: EngineZygote, spec: ZygoteSpec): void {
    this.#zygotes.add(zygote);
    this.#observer.made(zygote, spec);
    void this.#watch(zygote, spec);
  }

  async #watch(zygote: EngineZygote, spec: ZygoteSpec): Promise<void> {
    const exit = await zygote.exited;
    this.#zygotes.delete(zygote);
    this.#budget.give(spec.limits.memoryMb, false);
    this.#observer.gone(zygote.id, exit);
  }
}

const cancelled = (reason: unknown): OlError =>
  isOlError(reason, "OL_SANDBOX_CLOSED") || isOlError(reason, "OL_SANDBOX_BROKER_LOST")
    ? reason
    : giveUp(reason);

const giveUp = (reason: unknown): OlError =>
  sandboxError("OL_SANDBOX_CANCELLED", "The caller no longer wants the zygote.", { cause: reason });
