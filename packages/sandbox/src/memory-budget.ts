import { type OlError, isOlError } from "@ol/common";

import { sandboxError } from "./errors.ts";
import { type Wish, nextInLine } from "./memory-line.ts";

interface Waiter extends Wish {
  readonly claim: MemoryClaim;
  overtaken: number;
  readonly settle: (error?: OlError) => void;
}

/** How a wait for memory is bounded. */
export interface MemoryWait {
  readonly signal?: AbortSignal | undefined;
  readonly deadlineMs: number;
}

/** What is promised to one sandbox or zygote. Only its budget changes it. */
export class MemoryClaim {
  promisedMb = 0;
  /** `returning`: on its way back. `over`: given back; nothing is ever promised to it again. */
  state: "held" | "returning" | "over" = "held";
}

/**
 * Promises memory up to a total. Whoever has to wait stands in one line, whether for a new sandbox or for what a
 * paused one lent out; `nextInLine` says who is next.
 */
export class MemoryBudget {
  readonly totalMb: number;
  readonly #short: (missingMb: number) => void;
  readonly #line: Waiter[] = [];
  #promisedMb = 0;
  /** Of the promised, what is on its way back. */
  #returningMb = 0;

  /** `short` is called whenever someone waits for memory that is neither free nor on its way back. */
  constructor(totalMb: number, short: (missingMb: number) => void) {
    this.totalMb = totalMb;
    this.#short = short;
  }

  get promisedMb(): number {
    return this.#promisedMb;
  }

  get waiting(): number {
    return this.#line.length;
  }

  /** Who has waited for the longest time. */
  get first(): MemoryClaim | undefined {
    return this.#line[0]?.claim;
  }

  isInLine(claim: MemoryClaim): boolean {
    return this.#line.some((waiter) => waiter.claim === claim);
  }

  /** What would be missing if somebody wished for so much now; not more than 0 if nothing. */
  missingMb(moreMb = 0): number {
    const wantedMb = this.#line.reduce((sum, waiter) => sum + waiter.memoryMb, moreMb);
    return this.#promisedMb - this.#returningMb + wantedMb - this.totalMb;
  }

  /**
   * Settles when `memoryMb` more are promised to the claim. Fails with OL_SANDBOX_TOO_LARGE, OL_SANDBOX_NO_MEMORY,
   * OL_SANDBOX_CANCELLED, or what `refuseAll` was called with.
   */
  async take(claim: MemoryClaim, memoryMb: number, wait: MemoryWait): Promise<void> {
    if (claim.promisedMb + memoryMb > this.totalMb)
      throw sandboxError(
        "OL_SANDBOX_TOO_LARGE",
        `A sandbox of ${memoryMb} MB does not fit into the budget of ${this.totalMb} MB.`,
      );
    if (wait.signal?.aborted) throw cancelled(wait.signal.reason);
    if (this.#line.length === 0 && memoryMb <= this.#freeMb) this.#promise(claim, memoryMb);
    else await this.#queue(claim, memoryMb, wait);
  }

  /** Lowers what is promised; nothing happens if it is no more than that. */
  lower(claim: MemoryClaim, toMb: number): void {
    if (claim.state !== "held" || toMb >= claim.promisedMb) return;
    this.#promisedMb -= claim.promisedMb - toMb;
    claim.promisedMb = toMb;
    this.#serve();
  }

  /** All of it will be given back soon: nobody needs to free more for it. What it still waited for, it gets no more. */
  announce(claim: MemoryClaim): void {
    if (claim.state !== "held") return;
    claim.state = "returning";
    this.#returningMb += claim.promisedMb;
    this.#leave(claim);
  }

  /** Gives all of it back. */
  give(claim: MemoryClaim): void {
    if (claim.state === "over") return;
    if (claim.state === "returning") this.#returningMb -= claim.promisedMb;
    claim.state = "over";
    this.#promisedMb -= claim.promisedMb;
    claim.promisedMb = 0;
    this.#leave(claim);
    this.#serve();
  }

  /** Everyone who waits hears `error`. */
  refuseAll(error: OlError): void {
    for (const waiter of this.#line.splice(0)) waiter.settle(error);
  }

  /** Says again what is missing, if somebody waits: there may be more now that can be freed. */
  remind(): void {
    if (this.#line.length === 0) return;
    const missingMb = this.missingMb();
    if (missingMb > 0) this.#short(missingMb);
  }

  get #freeMb(): number {
    return this.totalMb - this.#promisedMb;
  }

  #promise(claim: MemoryClaim, memoryMb: number): void {
    claim.promisedMb += memoryMb;
    this.#promisedMb += memoryMb;
  }

  #queue(claim: MemoryClaim, memoryMb: number, { signal, deadlineMs }: MemoryWait): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = (error?: OlError): void => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", abort);
        if (error === undefined) resolve();
        else reject(error);
      };
      const waiter: Waiter = { claim, memoryMb, overtaken: 0, settle };
      const abort = (): void => this.#drop(waiter, cancelled(signal?.reason));
      const timer = setTimeout(() => this.#drop(waiter, noMemory(memoryMb, deadlineMs)), deadlineMs);
      signal?.addEventListener("abort", abort);
      this.#line.push(waiter);
      this.#serve();
    });
  }

  #drop(waiter: Waiter, error: OlError): void {
    this.#line.splice(this.#line.indexOf(waiter), 1);
    waiter.settle(error);
    this.#serve();
  }

  /** Takes an ending claim out of the line. */
  #leave(claim: MemoryClaim): void {
    const waiter = this.#line.find((each) => each.claim === claim);
    if (waiter !== undefined) this.#drop(waiter, ended());
  }

  #serve(): void {
    for (let at = nextInLine(this.#line, this.#freeMb); at >= 0; at = nextInLine(this.#line, this.#freeMb)) {
      for (const passed of this.#line.slice(0, at)) passed.overtaken += 1;
      const [waiter] = this.#line.splice(at, 1) as [Waiter];
      this.#promise(waiter.claim, waiter.memoryMb);
      waiter.settle();
    }
    this.remind();
  }
}

const ended = (): OlError =>
  sandboxError("OL_SANDBOX_DESTROYED", "The sandbox was destroyed while it waited for memory.");

const cancelled = (reason: unknown): OlError =>
  isOlError(reason, "OL_SANDBOX_CANCELLED")
    ? reason
    : sandboxError("OL_SANDBOX_CANCELLED", "The caller no longer wants the sandbox.", { cause: reason });

const noMemory = (memoryMb: number, deadlineMs: number): OlError =>
  sandboxError(
    "OL_SANDBOX_NO_MEMORY",
    `No room for a sandbox of ${memoryMb} MB within ${deadlineMs} ms; all memory is promised to others.`,
  );
