import { type Logger, messageOf } from "@ol/common";

import type { SandboxSpec } from "./engine.ts";
import type { EvictableSandbox } from "./evictor.ts";
import type { MemoryBudget, MemoryClaim } from "./memory-budget.ts";
import type { Sandbox } from "./sandbox.ts";

const MIB = 1_048_576;

interface Resident {
  readonly sandbox: Sandbox;
  /** What is promised to it: its limit, or less while it is paused. */
  readonly claim: MemoryClaim;
  /** When it was asked for, and how long it then took to make. */
  readonly askedMs: number;
  makeMs: number;
  /** How often it was paused. */
  pauses: number;
}

/** A pool's sandboxes, and what of its budget each of them has. */
export class Residents {
  readonly #budget: MemoryBudget;
  readonly #logger: Logger;
  readonly #all = new Map<string, Resident>();

  constructor(budget: MemoryBudget, logger: Logger) {
    this.#budget = budget;
    this.#logger = logger;
  }

  get size(): number {
    return this.#all.size;
  }

  get(id: string): Sandbox | undefined {
    return this.#all.get(id)?.sandbox;
  }

  sandboxes(): Sandbox[] {
    return [...this.#all.values()].map(({ sandbox }) => sandbox);
  }

  add(sandbox: Sandbox, claim: MemoryClaim, askedMs: number): void {
    const makeMs = performance.now() - askedMs;
    this.#all.set(sandbox.id, { sandbox, claim, askedMs, makeMs, pauses: 0 });
  }

  /** Its code is loaded, which is part of making it. */
  loaded(sandbox: Sandbox): void {
    const resident = this.#all.get(sandbox.id);
    if (resident !== undefined) resident.makeMs = performance.now() - resident.askedMs;
  }

  /** Its memory is on its way back. */
  ending(sandbox: Sandbox): void {
    const resident = this.#all.get(sandbox.id);
    if (resident !== undefined) this.#budget.announce(resident.claim);
  }

  /** Nothing of it is left. */
  remove(sandbox: Sandbox): void {
    const resident = this.#all.get(sandbox.id);
    this.#all.delete(sandbox.id);
    if (resident !== undefined) this.#budget.give(resident.claim);
  }

  /** Promises a paused sandbox no more than it holds; others can have the rest until it is resumed. */
  async lend(sandbox: Sandbox): Promise<void> {
    const resident = this.#all.get(sandbox.id);
    if (resident === undefined) return;
    const pause = (resident.pauses += 1);
    try {
      const heldBytes = await sandbox.memoryBytes();
      // Resumed meanwhile, or even paused once more, it may hold more than was measured.
      if (sandbox.state !== "paused" || resident.pauses !== pause) return;
      this.#budget.lower(resident.claim, keepMb(heldBytes, sandbox.meta));
    } catch (error) {
      if (sandbox.ended !== undefined) return;
      this.#logger.warn("a paused sandbox could not be measured; it keeps its memory", {
        sandbox: sandbox.id,
        error: messageOf(error),
      });
    }
  }

  /** What a paused sandbox lent out has to be there again before it runs. Fails as MemoryBudget.take. */
  takeBack(sandbox: Sandbox, deadlineMs: number): Promise<void> | void {
    const claim = this.#all.get(sandbox.id)?.claim;
    const lentMb = claim === undefined ? 0 : sandbox.meta.limits.memoryMb - claim.promisedMb;
    if (claim !== undefined && lentMb > 0) return this.#budget.take(claim, lentMb, { deadlineMs });
  }

  /** Those that do not end already. */
  evictable(): EvictableSandbox[] {
    const list: EvictableSandbox[] = [];
    for (const { sandbox, claim, makeMs } of this.#all.values()) {
      if (sandbox.ended !== undefined) continue;
      const { id, meta, usedMs, uses } = sandbox;
      const state = this.#stateOf(sandbox, claim);
      list.push({ id, name: meta.name, state, usedMs, uses, memoryMb: claim.promisedMb, makeMs });
    }
    return list;
  }

  /** The resuming sandbox that has waited for memory the longest, if nobody has waited longer. */
  firstInLine(): string | undefined {
    const { first } = this.#budget;
    if (first === undefined || first.promisedMb === 0) return undefined;
    for (const { sandbox, claim } of this.#all.values()) if (claim === first) return sandbox.id;
    return undefined;
  }

  #stateOf(sandbox: Sandbox, claim: MemoryClaim): EvictableSandbox["state"] {
    if (sandbox.state === "paused" || sandbox.state === "pausing")
      return sandbox.inFlight === 0 ? "paused" : "resuming";
    if (sandbox.state === "resuming") return this.#budget.isInLine(claim) ? "resuming" : "running";
    return sandbox.idle ? "idle" : "running";
  }
}

/** What has to stay promised to a paused sandbox that holds so much. */
const keepMb = (heldBytes: number, { limits }: SandboxSpec): number =>
  Math.min(limits.memoryMb, Math.max(1, Math.ceil(heldBytes / MIB)));
