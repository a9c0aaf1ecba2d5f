/** Something that receives a request's body. */
export interface BodyReceiver {
  /** When the last piece came; on the clock of performance.now(). */
  readonly lastByteMs: number;
  /** Nothing came for too long. */
  bodyStalled(): void;
}

/** How long a client may be silent in the middle of a body. */
const IDLE_MS = 30_000;
const CHECK_MS = 2_000;

/** Finds requests whose body stopped coming: one timer for all of them, none a request. */
export class BodyWatch {
  readonly #receivers = new Set<BodyReceiver>();
  #timer: NodeJS.Timeout | undefined;

  add(receiver: BodyReceiver): void {
    this.#receivers.add(receiver);
    this.#timer ??= setInterval(() => this.#check(), CHECK_MS).unref();
  }

  delete(receiver: BodyReceiver): void {
    this.#receivers.delete(receiver);
  }

  #check(): void {
    const nowMs = performance.now();
    for (const receiver of this.#receivers) {
      if (nowMs - receiver.lastByteMs < IDLE_MS) continue;
      this.#receivers.delete(receiver);
      receiver.bodyStalled();
    }
    if (this.#receivers.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
