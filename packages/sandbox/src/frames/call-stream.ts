import type { OlError } from "@ol/common";

import type { CallFailure, CallHandle, ReplySink } from "./call.ts";
import { EMPTY, END, FRAME, MAX_FRAME_BYTES } from "./codec.ts";
import type { Outgoing } from "./outgoing.ts";
import { ReplyFlow } from "./reply-flow.ts";

/** Told of the bytes of a stream that its receiver consumed. */
export type Consumed = (stream: CallStream, bytes: number) => void;

/**
 * One call on a connection, from its CALL frame to the guest's last frame for it. The connection links the open
 * ones in a list, in the order of their opening, and drives them; the caller holds it as a CallHandle.
 */
export class CallStream implements CallHandle {
  readonly id: number;
  readonly timeoutMs: number;
  readonly waitMs: number;
  next: CallStream | undefined;
  previous: CallStream | undefined;
  /** What the guest has sent: nothing, the beginning of a reply, its last frame. */
  phase: "waiting" | "replying" | "closed" = "waiting";
  /** When the time limit began to count. */
  startedAtMs: number;
  /** When we sent RESET; 0 if we did not. */
  resetAtMs = 0;
  /** Whether its event is in the frame that opened it. */
  inOneFrame = false;
  /** Whether the guest was asked to give it back if it has not begun. */
  recalled = false;

  /** What of the event is not written yet, for want of credit. */
  unsent: Buffer = EMPTY;
  sendCredit: number;
  /** Bytes that had been written to the connection when the call's last one was. */
  writtenAt: number = Number.POSITIVE_INFINITY;

  /** Bytes of DATA that the guest may still send. */
  receiveCredit: number;
  /** Bytes consumed but not yet given back. */
  owed = 0;

  readonly #consumed: Consumed;
  /** Undefined once the caller heard the last of the call, or wants to hear no more. */
  #sink: ReplySink | undefined;
  #flow: ReplyFlow | undefined;

  constructor(
    id: number,
    call: { readonly timeoutMs: number; readonly waitMs?: number },
    sink: ReplySink,
    windows: { readonly send: number; readonly receive: number },
    consumed: Consumed,
  ) {
    this.id = id;
    this.timeoutMs = call.timeoutMs;
    this.waitMs = call.waitMs ?? Number.POSITIVE_INFINITY;
    this.startedAtMs = performance.now();
    this.sendCredit = windows.send;
    this.receiveCredit = windows.receive;
    this.#sink = sink;
    this.#consumed = consumed;
  }

  /** Moves its deadlines by a time in which the guest could not run. */
  shift(heldMs: number): void {
    this.startedAtMs += heldMs;
    if (this.resetAtMs > 0) this.resetAtMs += heldMs;
  }

  resume(): void {
    this.#flow?.resume();
  }

  abandon(): void {
    this.#sink = undefined;
    const flow = this.#flow;
    this.#flow = undefined;
    flow?.cut();
  }

  /** Writes what credit allows of the event's rest. */
  pump(outgoing: Outgoing): void {
    while (this.unsent.length > 0 && this.sendCredit > 0) {
      const size = Math.min(this.unsent.length, this.sendCredit, MAX_FRAME_BYTES);
      const last = size === this.unsent.length;
      const piece = this.unsent.subarray(0, size);
      this.unsent = last ? EMPTY : this.unsent.subarray(size);
      this.sendCredit -= size;
      const written = outgoing.write(FRAME.data, last ? END : 0, this.id, "", piece);
      if (last) this.writtenAt = written;
    }
  }

  /** The reply came as one frame. */
  whole(failure: CallFailure | undefined, body: Buffer): void {
    const sink = this.#sink;
    this.#sink = undefined;
    sink?.whole(failure, body);
  }

  begin(failure: CallFailure | undefined): void {
    this.phase = "replying";
    const sink = this.#sink;
    if (sink === undefined) return;
    this.#flow = new ReplyFlow(sink, (bytes) => this.#consumed(this, bytes));
    sink.start(failure);
  }

  push(data: Buffer): void {
    if (this.#flow === undefined) this.#consumed(this, data.length);
    else this.#flow.push(data);
  }

  end(): void {
    this.#flow?.end();
  }

  /** The caller hears `error` as the last of the call; what still comes from the guest is dropped. */
  fail(error: OlError): void {
    const sink = this.#sink;
    const flow = this.#flow;
    this.#sink = undefined;
    this.#flow = undefined;
    if (flow !== undefined) flow.cut(error);
    else sink?.fail(error);
  }
}
