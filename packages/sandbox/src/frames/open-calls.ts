import type { OlError } from "@ol/common";

import { appFailedError, recalledError, resetError } from "./call-errors.ts";
import { CallStream, type StreamLink } from "./call-stream.ts";
import type { Call, CodeKind, ReplySink } from "./call.ts";
import {
  DEFAULT_WINDOW,
  EMPTY,
  END,
  FRAME,
  FrameViolation,
  MAX_FRAME_BYTES,
  RESET_CODE,
  encodeUint32,
} from "./codec.ts";
import { readCredit, readResetCode } from "./incoming.ts";
import type { Outgoing } from "./outgoing.ts";
import { NO_META, readReplyMeta } from "./reply-meta.ts";
import { StreamList } from "./stream-list.ts";
import type { Throttle } from "./throttle.ts";

const MAX_STREAM_ID = 0xffff_ffff;
/** More credit than this cannot be meant. */
const MAX_CREDIT = 0x7fff_ffff;

/**
 * The open calls of a connection: opens them, sends what their callers write, and passes on what the guest says of them.
 * What it says against the protocol is thrown as FrameViolation.
 */
export class OpenCalls implements StreamLink {
  /** Those whose last frame has not come, in the order of their opening. */
  readonly streams: StreamList = new StreamList();
  /** What the code is; undefined until it is loaded. */
  kind: CodeKind | undefined;
  readonly #outgoing: Outgoing;
  readonly #throttle: Throttle;
  readonly #closed: (stream: CallStream) => void;
  #nextId = 1;
  #sendWindow = DEFAULT_WINDOW;
  /** The stream and flags of a frame whose body is still coming. */
  #current: CallStream | undefined;
  #currentEnds = false;
  #stopped = false;

  /** `closed` is told of each stream whose last frame has come. */
  constructor(outgoing: Outgoing, throttle: Throttle, closed: (stream: CallStream) => void) {
    this.#outgoing = outgoing;
    this.#throttle = throttle;
    this.#closed = closed;
  }

  /** Whether there are no numbers left for more. */
  get usedUp(): boolean {
    return this.#nextId > MAX_STREAM_ID;
  }

  /** Whether the guest runs all of them at once, and not one after the other. */
  get concurrent(): boolean {
    return this.kind === "asgi";
  }

  /** A stream that is not open yet. */
  make(call: Call, sink: ReplySink): CallStream {
    return new CallStream(this.#nextId, call, sink, this.#sendWindow, this);
  }

  /** Opens it; `body` is all of its body, or the beginning of one that follows. */
  open(stream: CallStream, meta: string, body: Buffer): void {
    this.#nextId += 2;
    // The guest is busy and reads nothing now: what comes in this turn may as well reach it at once.
    if (this.streams.size > 0) this.#outgoing.gather();
    this.streams.add(stream);
    const type = stream.http ? FRAME.http : FRAME.call;
    const room = MAX_FRAME_BYTES - meta.length;
    if (body.length <= room && !stream.following) {
      stream.inOneFrame = true;
      stream.writtenAt = this.#outgoing.write(type, END, stream.id, meta, body);
      return;
    }
    const written = this.#outgoing.write(type, 0, stream.id, meta, body.subarray(0, room));
    // An app begins with the beginning of the body.
    if (stream.http) stream.writtenAt = written;
    stream.unsent = body.subarray(room);
    stream.pump(this.#outgoing);
    if (stream.following) stream.beginSoon();
  }

  /** The guest's HELLO names the credit of a stream. */
  setWindow(bytes: number): void {
    const more = bytes - this.#sendWindow;
    this.#sendWindow = bytes;
    for (let stream = this.streams.first; stream !== undefined; stream = stream.next)
      this.#credit(stream, more);
  }

  /** The guest has loaded its code; every time limit counts from here. */
  loaded(kind: CodeKind, nowMs: number): void {
    this.kind = kind;
    for (let stream = this.streams.first; stream !== undefined; stream = stream.next) {
      stream.startedAtMs = nowMs;
      if (stream.ending === "wanted") this.left(stream);
    }
  }

  /** The open stream of a frame. */
  find(id: number): CallStream {
    const stream = this.streams.find(id);
    if (stream === undefined) throw new FrameViolation(`a frame for stream ${id}, which is not open`);
    return stream;
  }

  reply(stream: CallStream, flags: number, meta: Buffer, body: Buffer, left: number): void {
    if (stream.phase !== "waiting") throw new FrameViolation("a second REPLY");
    const { failure, head, flaw } = meta.length === 0 ? NO_META : readReplyMeta(meta, this.#isApp(stream));
    if (flags === END && left === 0) {
      this.#close(stream);
      if (flaw === undefined) stream.whole(failure, body, head);
      else stream.fail(flaw);
      return;
    }
    if (flaw === undefined) stream.begin(failure, head);
    else this.#refuse(stream, flaw, flags === END);
    this.#currentEnds = flags === END;
    this.#take(stream, body, left);
  }

  data(stream: CallStream, flags: number, meta: Buffer, body: Buffer, left: number): void {
    if (stream.phase === "waiting") throw new FrameViolation("DATA before REPLY");
    this.#currentEnds = flags === END;
    if (meta.length > 0 && !this.#currentEnds) throw new FrameViolation("meta in the middle of a body");
    const size = body.length + left;
    if (size > stream.receiveCredit) throw new FrameViolation("DATA beyond its credit");
    stream.receiveCredit -= size;
    if (size === 0 && !this.#currentEnds) this.#throttle.charge(1);
    this.#take(stream, body, left);
  }

  /** More of the body of a REPLY or DATA. */
  more(data: Buffer, left: number): void {
    if (this.#current !== undefined) this.#take(this.#current, data, left);
  }

  window(stream: CallStream, body: Buffer): void {
    this.#throttle.charge(0.1);
    const credit = readCredit(body);
    if (stream.sendCredit + credit > MAX_CREDIT) throw new FrameViolation("more credit than fits");
    this.#credit(stream, credit);
  }

  reset(stream: CallStream, body: Buffer): void {
    const code = readResetCode(body);
    this.#close(stream);
    if (stream.recalled && code === RESET_CODE.refused) stream.fail(recalledError());
    else if (this.#isApp(stream) && (code === RESET_CODE.failed || code === RESET_CODE.content))
      stream.fail(appFailedError(code));
    else stream.fail(resetError(code));
  }

  /** Sends RESET; the guest's last frame for the stream is still to come. */
  sendReset(stream: CallStream, code: number): void {
    if (!this.#stopped) this.#outgoing.write(FRAME.reset, 0, stream.id, "", encodeUint32(code));
  }

  /** Whether a guest that has read so many bytes may run a call, so that it reads nothing. */
  mayRun(readBytes: number): boolean {
    const { first } = this.streams;
    // One that runs calls at once reads all the time, unless one of them lets it do nothing else.
    return first !== undefined && (this.concurrent || first.writtenAt <= readBytes);
  }

  /** Nothing more is written. */
  stop(): void {
    this.#stopped = true;
  }

  /** Gives credit back when half a window is owed. A REPLY's body took none but returns it: a guest may count it. */
  consumed(stream: CallStream, bytes: number): void {
    stream.owed += bytes;
    if (stream.phase === "closed" || this.#stopped || stream.owed * 2 < DEFAULT_WINDOW) return;
    this.#outgoing.write(FRAME.window, 0, stream.id, "", encodeUint32(stream.owed));
    stream.receiveCredit += stream.owed;
    stream.owed = 0;
  }

  wrote(stream: CallStream): void {
    if (stream.phase !== "closed" && !this.#stopped) stream.pump(this.#outgoing);
  }

  wroteAll(stream: CallStream): void {
    // Otherwise its last piece ends it.
    if (stream.phase !== "closed" && !this.#stopped && stream.unsent.length === 0)
      this.#outgoing.write(FRAME.data, END, stream.id, "", EMPTY);
  }

  left(stream: CallStream): void {
    if (stream.phase === "closed" || stream.ending === "told" || stream.resetAtMs > 0) return;
    // No function begins before its body is complete.
    if (stream.following || this.#isApp(stream)) this.#giveUp(stream, RESET_CODE.cancelled);
    else if (this.kind === undefined && stream.http) stream.ending = "wanted";
  }

  /**
   * Tells the guest that nobody waits for the call. An app may be in the middle of something, and has until the call's
   * time limit to end it.
   */
  #giveUp(stream: CallStream, code: number): void {
    stream.ending = "told";
    stream.stopBody();
    this.sendReset(stream, code);
  }

  /** A reply that cannot be passed on ends its call; what follows of it is dropped. */
  #refuse(stream: CallStream, flaw: OlError, complete: boolean): void {
    stream.phase = "replying";
    if (!complete && stream.ending !== "told" && stream.resetAtMs === 0)
      this.#giveUp(stream, RESET_CODE.content);
    stream.fail(flaw);
  }

  #isApp(stream: CallStream): boolean {
    return stream.http && this.kind !== "function" && this.kind !== undefined;
  }

  #credit(stream: CallStream, bytes: number): void {
    stream.sendCredit += bytes;
    stream.pump(this.#outgoing);
    stream.roomAgain();
  }

  /** Passes on a piece of a REPLY's or DATA's body. */
  #take(stream: CallStream, data: Buffer, left: number): void {
    this.#current = left > 0 ? stream : undefined;
    const last = left === 0 && this.#currentEnds;
    if (last) {
      this.#close(stream);
      // Before its reader hears more: whatever that does, the call is over.
      stream.arrived(data.length);
    }
    stream.push(data);
    if (last) stream.end();
  }

  /** The guest's last frame for a stream has come. Where they run one after the other, the next in line starts to. */
  #close(stream: CallStream): void {
    if (stream.phase === "closed") return;
    const next = this.streams.first === stream && !this.concurrent ? stream.next : undefined;
    stream.close();
    this.streams.remove(stream);
    if (next !== undefined) next.startedAtMs = performance.now();
    this.#closed(stream);
    stream.stopBody();
    stream.over();
  }
}
