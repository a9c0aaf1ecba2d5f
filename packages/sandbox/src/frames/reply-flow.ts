import type { OlError } from "@ol/common";

import type { ReplySink } from "./call.ts";
import { WaitingBytes, compact } from "./waiting-bytes.ts";

/**
 * Passes a reply that comes in pieces on to its sink, holding back what the sink has no room for. It outlives its
 * connection: once everything has arrived, the sink gets it whatever happens to the sandbox.
 */
export class ReplyFlow {
  readonly #sink: ReplySink;
  readonly #consumed: (bytes: number) => void;
  readonly #waiting = new WaitingBytes();
  #full = false;
  /** Bytes that made the sink full; they are consumed once it has room again. */
  #unconsumed = 0;
  #arrived = false;
  #over = false;

  /** `consumed` is told of every byte that the sink took without back-pressure. */
  constructor(sink: ReplySink, consumed: (bytes: number) => void) {
    this.#sink = sink;
    this.#consumed = consumed;
  }

  /** Bytes that the sink had no room for. */
  get heldBytes(): number {
    return this.#waiting.length + this.#unconsumed;
  }

  push(data: Buffer): void {
    if (data.length === 0 || this.#over) return;
    if (this.#full) this.#waiting.add(data);
    // The sink may have room and still keep it for a while.
    else this.#deliver(compact(data));
  }

  /** Everything has arrived. */
  end(): void {
    this.#arrived = true;
    this.#endIfEmpty();
  }

  resume(): void {
    if (this.#over || !this.#full) return;
    this.#full = false;
    this.#consumed(this.#unconsumed);
    this.#unconsumed = 0;
    while (!this.#full && this.#waiting.length > 0) this.#deliver(this.#waiting.take() as Buffer);
    this.#endIfEmpty();
  }

  /** The sink hears `error`, or nothing more if there is none. */
  cut(error?: OlError): void {
    if (this.#over) return;
    this.#over = true;
    const held = this.heldBytes;
    this.#waiting.clear();
    this.#consumed(held);
    if (error !== undefined) this.#sink.fail(error);
  }

  #deliver(data: Buffer): void {
    if (this.#sink.chunk(data)) {
      this.#consumed(data.length);
      return;
    }
    this.#full = true;
    this.#unconsumed += data.length;
  }

  #endIfEmpty(): void {
    if (!this.#arrived || this.#over || this.#waiting.length > 0) return;
    this.#over = true;
    this.#sink.end();
  }
}
