import type { Exchange } from "./exchange.ts";

/** An exchange's place in the list. */
export interface Links {
  previous: Exchange | undefined;
  next: Exchange | undefined;
}

/** How often it is looked for bodies that stopped coming. */
const CHECK_MS = 5_000;
/** After so many looks without a new byte, 30 seconds, a client is taken to be gone. */
export const STALLED_LOOKS = 6;

/**
 * The requests under way. A list linked through its members, since a Set costs a hash for every request; and one
 * timer for all of them, none a request.
 */
export class OpenExchanges implements Iterable<Exchange> {
  #first: Exchange | undefined;
  #size = 0;
  readonly #timer: NodeJS.Timeout;

  constructor() {
    this.#timer = setInterval(() => {
      for (const exchange of this) exchange.checkBody();
    }, CHECK_MS).unref();
  }

  get size(): number {
    return this.#size;
  }

  add(exchange: Exchange): void {
    const next = this.#first;
    exchange.links.next = next;
    if (next !== undefined) next.links.previous = exchange;
    this.#first = exchange;
    this.#size += 1;
  }

  /** Only what is in it, and once. */
  delete({ links }: Exchange): void {
    const { previous, next } = links;
    if (previous === undefined) this.#first = next;
    else previous.links.next = next;
    if (next !== undefined) next.links.previous = previous;
    this.#size -= 1;
  }

  *[Symbol.iterator](): Iterator<Exchange> {
    for (let exchange = this.#first; exchange !== undefined;) {
      // What is done with one may take it out of the list.
      const { next } = exchange.links;
      yield exchange;
      exchange = next;
    }
  }

  close(): void {
    clearInterval(this.#timer);
  }
}
