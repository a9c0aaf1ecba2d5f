import { type OlError, isOlError, messageOf } from "@ol/common";

import type { EngineZygote, SandboxEngine, SandboxExit, ZygoteSpec } from "./engine.ts";
import { sandboxError } from "./errors.ts";
import type { EvictableZygote } from "./evictor.ts";
import { type MemoryBudget, MemoryClaim, type MemoryWait } from "./memory-budget.ts";
import { checkZygoteId, checkZygoteSpec } from "./spec.ts";

/** What is heard of a pool's zygotes. */
export interface ZygoteObserver {
  readonly made: (zygote: EngineZygote, spec: ZygoteSpec) => void;
  readonly failed: (id: string, spec: ZygoteSpec, error: OlError) => void;
  /** It is about to be ended because its memory is needed. */
  readonly evicting: (id: string) => void;
  readonly gone: (id: string, exit: SandboxExit) => void;
  /** It was to be ended and could not be. */
  readonly unkillable: (id: string, error: unknown) => void;
}

interface Kept {
  readonly zygote: EngineZygote;
  readonly spec: ZygoteSpec;
  readonly claim: MemoryClaim;
  readonly makeMs: number;
  /** Says that it is no child of its parent any more. */
  readonly leave: () => void;
  /** When something was last to be forked from it, and how often. */
  usedMs: number;
  uses: number;
}

/** A pool's zygotes: each is promised the memory of its limits until it is gone. */
export class PoolZygotes {
  readonly #engine: SandboxEngine;
  readonly #budget: MemoryBudget;
  readonly #observer: ZygoteObserver;
  readonly #zygotes = new Map<string, Kept>();
  readonly #making = new Map<Promise<unknown>, AbortController>();
  /** How many wait to be forked from a zygote, or are zygotes below it; by its id. */
  readonly #children = new Map<string, number>();
  #over: OlError | undefined;

  constructor(engine: SandboxEngine, budget: MemoryBudget, observer: ZygoteObserver) {
    this.#engine = engine;
    this.#budget = budget;
    this.#observer = observer;
  }

  get size(): number {
    return this.#zygotes.size;
  }

  /** Zygotes being made. */
  get making(): number {
    return this.#making.size;
  }

  /** See SandboxPool.createZygote. */
  async create(id: string, wanted: ZygoteSpec, wait: MemoryWait): Promise<EngineZygote> {
    const spec = checkZygoteSpec(wanted);
    checkZygoteId(id);
    if (this.#engine.createZygote === undefined)
      throw sandboxError("OL_SANDBOX_BAD_OPTIONS", `The engine ${this.#engine.name} has no zygotes.`);
    const leave = this.join(spec.parent);
    const claim = new MemoryClaim();
    try {
      await this.#budget.take(claim, spec.limits.memoryMb, wait);
      if (this.#over !== undefined) throw this.#over;
      return await this.#make(id, { spec, claim, leave }, wait.signal);
    } catch (error) {
      this.#budget.give(claim);
      leave();
      const reason = zygoteError(error);
      this.#observer.failed(id, spec, reason);
      throw reason;
    }
  }

  /** Somebody forks from that zygote, or waits to: until the returned function is called it is not evicted. */
  join(id: string | undefined): () => void {
    if (id === undefined) return () => undefined;
    this.#children.set(id, (this.#children.get(id) ?? 0) + 1);
    const kept = this.#zygotes.get(id);
    if (kept !== undefined) {
      kept.usedMs = performance.now();
      kept.uses += 1;
    }
    return () => {
      const left = (this.#children.get(id) ?? 0) - 1;
      if (left > 0) this.#children.set(id, left);
      else this.#children.delete(id);
    };
  }

  /** Those that do not end already. */
  evictable(): EvictableZygote[] {
    const list: EvictableZygote[] = [];
    for (const { zygote, claim, usedMs, uses, makeMs } of this.#zygotes.values()) {
      const children = this.#children.get(zygote.id) ?? 0;
      if (claim.state === "held")
        list.push({ id: zygote.id, usedMs, uses, memoryMb: claim.promisedMb, makeMs, children });
    }
    return list;
  }

  /** Ends one because its memory is needed; false if there is none that does not end already. */
  evict(id: string): boolean {
    const kept = this.#zygotes.get(id);
    if (kept === undefined || kept.claim.state !== "held") return false;
    this.#observer.evicting(id);
    this.#budget.announce(kept.claim);
    // If it could not be killed the engine is lost, and says so itself.
    kept.zygote.kill().catch((error: unknown) => this.#observer.unkillable(id, error));
    return true;
  }

  /** Ends all of them, and those being made. */
  async end(reason: OlError): Promise<void> {
    this.#over = reason;
    for (const stop of this.#making.values()) stop.abort(reason);
    await Promise.allSettled(this.#making.keys());
    await Promise.all([...this.#zygotes.values()].map(({ zygote }) => zygote.kill()));
  }

  async #make(
    id: string,
    kept: Pick<Kept, "spec" | "claim" | "leave">,
    signal: AbortSignal | undefined,
  ): Promise<EngineZygote> {
    const askedMs = performance.now();
    const stop = new AbortController();
    const abort = (): void => stop.abort(signal?.reason);
    signal?.addEventListener("abort", abort, { once: true });
    const making = this.#engine.createZygote?.(id, kept.spec, stop.signal) as Promise<EngineZygote>;
    this.#making.set(making, stop);
    try {
      const zygote = await making;
      const usedMs = performance.now();
      // At once, so that whoever waits for those being made finds it among those that are.
      this.#adopt({ ...kept, zygote, makeMs: usedMs - askedMs, usedMs, uses: 0 });
      return zygote;
    } catch (error) {
      if (stop.signal.aborted) throw cancelled(stop.signal.reason);
      throw error;
    } finally {
      this.#making.delete(making);
      signal?.removeEventListener("abort", abort);
    }
  }

  #adopt(kept: Kept): void {
    this.#zygotes.set(kept.zygote.id, kept);
    this.#observer.made(kept.zygote, kept.spec);
    void this.#watch(kept);
  }

  async #watch(kept: Kept): Promise<void> {
    const { zygote, claim, leave } = kept;
    const exit = await zygote.exited;
    if (this.#zygotes.get(zygote.id) === kept) this.#zygotes.delete(zygote.id);
    leave();
    this.#budget.give(claim);
    this.#observer.gone(zygote.id, exit);
  }
}

const cancelled = (reason: unknown): OlError =>
  isOlError(reason, "OL_SANDBOX_CLOSED") || isOlError(reason, "OL_SANDBOX_BROKER_LOST")
    ? reason
    : giveUp(reason);

const zygoteError = (error: unknown): OlError =>
  isOlError(error)
    ? error
    : sandboxError("OL_SANDBOX_ZYGOTE_FAILED", `The engine failed: ${messageOf(error)}`, { cause: error });

const giveUp = (reason: unknown): OlError =>
  sandboxError("OL_SANDBOX_CANCELLED", "The caller no longer wants the zygote.", { cause: reason });
