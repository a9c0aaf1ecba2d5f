import type { OlError } from "@ol/common";

import { asNotStarted, isNotStarted, wasBehind } from "../not-started.ts";
import { cancelledError } from "./call-errors.ts";
import type { Call, CallFailure, CallHandle, ReplyHead, ReplySink } from "./call.ts";
import { DEFAULT_WINDOW, EMPTY, END, FRAME, MAX_FRAME_BYTES } from "./codec.ts";
import type { Outgoing } from "./outgoing.ts";
import { ReplyFlow } from "./reply-flow.ts";

/** Told of what a stream's caller does. */
export interface StreamLink {
  /** It consumed so many bytes of the reply. */
  consumed(stream: CallStream, bytes: number): void;
  /** It wrote a piece of the body. */
  wrote(stream: CallStream): void;
  /** It has written all of the body. */
  wroteAll(stream: CallStream): void;
  /** It is gone. */
  left(stream: CallStream): void;
}

/**
 * One call on a connection, from the frame that opens it to the guest's last frame for it. The connection links the open
 * ones in a list, in the order of their opening, and drives them; the caller holds it as a CallHandle.
 */
export class CallStream implements CallHandle {
  readonly id: number;
  readonly timeoutMs: number;
  readonly waitMs: number;
  /** Whether it was opened as an HTTP request. */
  readonly http: boolean;
  next: CallStream | undefined;
  previous: CallStream | undefined;
  /** What the guest has sent: nothing, the beginning of a reply, its last frame. */
  phase: "waiting" | "replying" | "closed" = "waiting";
  /** When the time limit began to count. */
  startedAtMs: number;
  /** When we sent a RESET that has to be answered soon; 0 if we did not. */
  resetAtMs = 0;
  /** Whether its whole body is in the frame that opened it. */
  inOneFrame = false;
  /** Whether the guest was asked to give it back if it has not begun. */
  recalled = false;
  /** Of a call that nobody waits for any more: whether the guest was told, or will be if its code is an app. */
  ending: "no" | "wanted" | "told" = "no";

  /** What of the body is not written yet, for want of credit. */
  unsent: Buffer = EMPTY;
  /** Whether the caller may write more of the body. */
  following: boolean;
  /** Whether the caller has given away a piece of the body that it cannot give again. */
  taken = false;
  sendCredit: number;
  /** Bytes that had been written to the connection when the guest could begin to run the call. */
  writtenAt: number = Number.POSITIVE_INFINITY;

  /** Bytes of DATA that the guest may still send. */
  receiveCredit: number = DEFAULT_WINDOW;
  /** Bytes consumed but not yet given back. */
  owed = 0;

  readonly #link: StreamLink;
  /** Undefined once the caller heard the last of the call, or wants to hear no more. */
  #sink: ReplySink | undefined;
  /** Whoever cancelled the call, and is still to hear that it is over. */
  #leaver: ReplySink | undefined;
  #flow: ReplyFlow | undefined;
  /** Whether the caller waits for `drain`. */
  #drainOwed = false;

  /** `sendWindow` is the credit towards the guest that it begins with. */
  constructor(id: number, call: Call, sink: ReplySink, sendWindow: number, link: StreamLink) {
    this.id = id;
    this.timeoutMs = call.timeoutMs;
    this.waitMs = call.waitMs ?? Number.POSITIVE_INFINITY;
    this.http = call.http !== undefined;
    this.following = call.bodyFollows === true;
    this.startedAtMs = performance.now();
    this.sendCredit = sendWindow;
    this.#sink = sink;
    this.#link = link;
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
    this.#hush();
    // Nobody would complete its body, so that it would only run into its time limit.
    if (this.following) this.#link.left(this);
  }

  cancel(): void {
    // One that has arrived is over.
    if (this.phase !== "closed") this.#leaver ??= this.#sink;
    this.#hush();
    this.#link.left(this);
  }

  write(data: Buffer): boolean {
    if (!this.following) return true;
    if (data.length > 0) {
      this.taken = true;
      this.unsent = this.unsent.length === 0 ? data : Buffer.concat([this.unsent, data]);
      this.#link.wrote(this);
    }
    if (this.unsent.length === 0) return true;
    this.#drainOwed = true;
    return false;
  }

  endBody(): void {
    if (!this.following) return;
    this.following = false;
    this.#link.wroteAll(this);
  }

  /** Writes what credit allows of the body's rest. */
  pump(outgoing: Outgoing): void {
    while (this.unsent.length > 0 && this.sendCredit > 0) {
      const size = Math.min(this.unsent.length, this.sendCredit, MAX_FRAME_BYTES);
      const last = size === this.unsent.length;
      const piece = this.unsent.subarray(0, size);
      this.unsent = last ? EMPTY : this.unsent.subarray(size);
      this.sendCredit -= size;
      const ends = last && !this.following;
      const written = outgoing.write(FRAME.data, ends ? END : 0, this.id, "", piece);
      if (ends && !this.http) this.writtenAt = written;
    }
  }

  /** The caller of a body that follows may begin to write, and hears so once it has the handle. */
  beginSoon(): void {
    queueMicrotask(() => {
      this.#drainOwed = this.following;
      this.roomAgain();
    });
  }

  /** It was not opened. */
  refuse(error: OlError): void {
    this.close();
    queueMicrotask(() => this.fail(asNotStarted(error)));
  }

  /** There may be room for more of the body: whoever waits for it is told. */
  roomAgain(): void {
    if (this.#drainOwed && this.unsent.length === 0) this.#drain();
  }

  /** No more of the body is wanted. Whoever waits to write is let go on; what is written from here on is ignored. */
  stopBody(): void {
    this.following = false;
    this.unsent = EMPTY;
    if (this.#drainOwed) this.#drain();
  }

  /** The guest's last frame has come, or the connection is over. */
  close(): void {
    this.phase = "closed";
  }

  /** The reply came as one frame. */
  whole(failure: CallFailure | undefined, body: Buffer, head: ReplyHead | undefined): void {
    const sink = this.#sink;
    this.#sink = undefined;
    sink?.whole(failure, body, head);
  }

  begin(failure: CallFailure | undefined, head: ReplyHead | undefined): void {
    this.phase = "replying";
    const sink = this.#sink;
    if (sink === undefined) return;
    this.#flow = new ReplyFlow(sink, (bytes) => this.#link.consumed(this, bytes));
    sink.start(failure, head);
  }

  /** Its last bytes have come, and are pushed next; the guest has nothing more to do with it. */
  arrived(lastBytes: number): void {
    this.#sink?.arrived?.((this.#flow?.heldBytes ?? 0) + lastBytes);
  }

  push(data: Buffer): void {
    if (this.#flow === undefined) this.#link.consumed(this, data.length);
    else this.#flow.push(data);
  }

  end(): void {
    this.#flow?.end();
  }

  /** The guest's last frame has come, and was passed on. */
  over(): void {
    const leaver = this.#leaver;
    this.#leaver = undefined;
    leaver?.fail(cancelledError());
  }

  /** The caller hears `error` as the last of the call; what still comes from the guest is dropped. */
  fail(error: OlError): void {
    // One that may be run elsewhere has to keep its body: its caller is not asked to write it to nobody.
    if (isNotStarted(error) || wasBehind(error)) this.#drainOwed = false;
    this.stopBody();
    const sink = this.#sink ?? this.#leaver;
    const flow = this.#flow;
    this.#sink = undefined;
    this.#leaver = undefined;
    this.#flow = undefined;
    if (flow !== undefined) flow.cut(error);
    else sink?.fail(error);
  }

  /** The caller hears nothing more. */
  #hush(): void {
    this.#sink = undefined;
    const flow = this.#flow;
    this.#flow = undefined;
    flow?.cut();
  }

  #drain(): void {
    this.#drainOwed = false;
    this.#sink?.drain?.();
  }
}
