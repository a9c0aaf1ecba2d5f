import type { OlError } from "@ol/common";

import { workerError } from "./errors.ts";

/** What all bodies of a worker that are held share. */
export interface BodyBudget {
  /** Bytes of request bodies that are held. */
  heldBytes: number;
  readonly maxHeldBytes: number;
}

const NOTHING = Buffer.alloc(0);

/** A request's body that is held until it is there in full. */
export class HeldBody {
  /** So many came. */
  bytes = 0;
  readonly #budget: BodyBudget;
  readonly #limitBytes: number;
  #first: Buffer | undefined;
  #more: Buffer[] | undefined;

  constructor(budget: BodyBudget, limitBytes: number) {
    this.#budget = budget;
    this.#limitBytes = limitBytes;
  }

  /** Takes a piece; OL_WORKER_BODY_TOO_LARGE or OL_WORKER_BODIES_FULL if it is one too many. */
  add(data: Buffer): OlError | undefined {
    this.bytes += data.length;
    this.#budget.heldBytes += data.length;
    if (this.bytes > this.#limitBytes) return tooLarge(this.#limitBytes);
    if (this.#budget.heldBytes > this.#budget.maxHeldBytes) return bodiesFull();
    if (this.#first === undefined) this.#first = data;
    else (this.#more ??= [this.#first]).push(data);
    return undefined;
  }

  /** All of it, once. It counts as held until `release`. */
  take(): Buffer {
    const body = this.#more === undefined ? this.#first : Buffer.concat(this.#more);
    this.#first = undefined;
    this.#more = undefined;
    return body ?? NOTHING;
  }

  /** Nobody needs it any more. To be called once. */
  release(): void {
    this.#budget.heldBytes -= this.bytes;
    this.#first = undefined;
    this.#more = undefined;
  }
}

export const tooLarge = (limitBytes: number): OlError =>
  workerError("OL_WORKER_BODY_TOO_LARGE", `the body is larger than ${limitBytes} bytes (limits.body_mb)`);

export const bodiesFull = (): OlError =>
  workerError("OL_WORKER_BODIES_FULL", "the request bodies that wait take too much memory already");
