import type { Duplex } from "node:stream";

import type { OlError } from "@ol/common";

import { sandboxError } from "../errors.ts";
import { asBehind, asNotStarted } from "../not-started.ts";
import { overrunError, recalledError, resetError, timeLimitError } from "./call-errors.ts";
import { CallStream } from "./call-stream.ts";
import type { Call, CallHandle, ReplySink } from "./call.ts";
import {
  DEFAULT_WINDOW,
  EMPTY,
  END,
  FRAME,
  FrameViolation,
  MAX_FRAME_BYTES,
  PROTOCOL_VERSION,
  RESET_CODE,
  encodeUint32,
  isIgnorable,
} from "./codec.ts";
import {
  type ConnectionOwner,
  type ConnectionTimers,
  DEFAULT_CONNECTION_TIMERS,
} from "./connection-options.ts";
import { GuestSocket } from "./guest-socket.ts";
import { type GuestHello, readCredit, readEvent, readFailure, readHello, readResetCode } from "./incoming.ts";
import { callMeta } from "./opening.ts";
import { Outgoing } from "./outgoing.ts";
import { PartialFrame } from "./partial-frame.ts";
import { Pings } from "./pings.ts";
import { type FrameHandler, FrameReader } from "./reader.ts";
import { StreamList } from "./stream-list.ts";
import { Throttle } from "./throttle.ts";
import { isBehind, recallWaiting } from "./waiting-streams.ts";
import { Watchdog } from "./watchdog.ts";

const MAX_STREAM_ID = 0xffff_ffff;
/** More credit than this cannot be meant. */
const MAX_CREDIT = 0x7fff_ffff;

type State = "greeting" | "loading" | "ready" | "ended";

/**
 * The worker's side of one connection to a guest that runs functions, one at a time in the order of the calls. The
 * guest is not trusted: whatever it sends against the protocol ends the connection with OL_SANDBOX_PROTOCOL.
 */
export class GuestConnection implements FrameHandler {
  readonly #socket: Duplex;
  readonly #owner: ConnectionOwner;
  readonly #timers: ConnectionTimers;
  readonly #reader: FrameReader = new FrameReader(this);
  readonly #outgoing: Outgoing;
  readonly #streams = new StreamList();
  readonly #pings = new Pings();
  readonly #throttle: Throttle;
  readonly #watchdog: Watchdog = new Watchdog((nowMs) => this.#check(nowMs));
  readonly #startedAtMs: number = performance.now();

  #state: State = "greeting";
  #hello: GuestHello | undefined;
  /** Why no new calls are taken although the connection is not over. */
  #retired: OlError | undefined;
  #failure: OlError | undefined;
  #nextId = 1;
  #sendWindow = DEFAULT_WINDOW;
  /** The stream and flags of a frame whose body is still coming. */
  #current: CallStream | undefined;
  #currentEnds = false;
  readonly #partial: PartialFrame;
  #suspendedAtMs = 0;
  /** Whether all that the guest ever sent was read: only then is it known which call was the last to begin. */
  #drained = false;

  /** Takes `socket` over. `timers` only replaces what it names. */
  constructor(socket: Duplex, owner: ConnectionOwner, timers: Partial<ConnectionTimers> = {}) {
    this.#socket = socket;
    this.#owner = owner;
    this.#timers = { ...DEFAULT_CONNECTION_TIMERS, ...timers };
    this.#throttle = new Throttle(socket, this.#watchdog, this.#startedAtMs);
    this.#outgoing = new Outgoing(socket, this.#watchdog, this.#timers.writeStallMs);
    this.#partial = new PartialFrame(this.#watchdog, this.#timers.partialFrameMs);
    socket.on("data", this.#read);
    socket.on("error", this.#broken);
    socket.on("end", this.#closed);
    socket.on("close", this.#closed);
    const hello = `:v\0${PROTOCOL_VERSION}\0:window\0${DEFAULT_WINDOW}\0:kinds\0call`;
    this.#outgoing.write(FRAME.hello, 0, 0, hello, EMPTY);
    this.#watchdog.at(this.#startedAtMs + this.#timers.helloMs, this.#startedAtMs);
  }

  /** Calls whose last frame has not come. */
  get inFlight(): number {
    return this.#streams.size;
  }

  /** How many calls the guest takes at once: one runs, the others wait in it. */
  get streams(): number {
    return this.#hello?.streams ?? 1;
  }

  /** What the guest said of itself; undefined before its HELLO. Information only. */
  get hello(): GuestHello | undefined {
    return this.#hello;
  }

  /** Opens a call. The sink hears nothing before this has returned. */
  open(call: Call, sink: ReplySink): CallHandle {
    const windows = { send: this.#sendWindow, receive: DEFAULT_WINDOW };
    const stream = new CallStream(this.#nextId, call, sink, windows, this.#consumed);
    let meta: string;
    try {
      this.#mayOpen();
      meta = callMeta(call);
    } catch (error) {
      queueMicrotask(() => stream.fail(asNotStarted(error as OlError)));
      return stream;
    }
    this.#nextId += 2;
    // The guest is busy and reads nothing now: what comes in this turn may as well reach it at once.
    if (this.#streams.size > 0) this.#outgoing.gather();
    this.#streams.add(stream);
    const room = MAX_FRAME_BYTES - meta.length;
    if (call.body.length <= room) {
      stream.inOneFrame = true;
      stream.writtenAt = this.#outgoing.write(FRAME.call, END, stream.id, meta, call.body);
    } else {
      this.#outgoing.write(FRAME.call, 0, stream.id, meta, call.body.subarray(0, room));
      stream.unsent = call.body.subarray(room);
      stream.pump(this.#outgoing);
    }
    const patienceMs = stream.previous === undefined ? stream.timeoutMs : stream.waitMs;
    this.#watchdog.at(stream.startedAtMs + patienceMs, stream.startedAtMs);
    return stream;
  }

  /** Asks the guest for a sign of life; settles with the round trip in ms. It does not answer while a call runs. */
  ping(timeoutMs: number): Promise<number> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    return this.#pings.send((body) => this.#outgoing.write(FRAME.ping, 0, 0, "", body), timeoutMs);
  }

  /** Sends the guest an EVENT, such as `shutdown` or `resumed`. */
  notify(event: string): void {
    if (this.#state !== "ended") this.#outgoing.write(FRAME.event, 0, 0, `:event\0${event}`, EMPTY);
  }

  /** The guest is about to be paused: until `unsuspend` no time counts against it. Idempotent. */
  suspend(): void {
    if (this.#suspendedAtMs > 0) return;
    this.#suspendedAtMs = performance.now();
    this.#watchdog.hold();
    this.#pings.hold();
  }

  /** The guest runs again: every deadline is as far away as it was. Idempotent. */
  unsuspend(): void {
    if (this.#suspendedAtMs === 0) return;
    const heldMs = performance.now() - this.#suspendedAtMs;
    this.#suspendedAtMs = 0;
    this.#partial.shift(heldMs);
    this.#outgoing.shift(heldMs);
    for (let stream = this.#streams.first; stream !== undefined; stream = stream.next) stream.shift(heldMs);
    this.#pings.release();
    this.#watchdog.release();
  }

  /** Ends the connection: every open call hears `error`. Only the first call counts. */
  fail(error: OlError): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    this.#state = "ended";
    this.#stop();
    this.#socket.destroy();
    this.#pings.fail(error);
    // The last first: whoever puts them in front of others again has them in their order.
    for (let stream = this.#streams.last; stream !== undefined; stream = this.#streams.last) {
      const behind = this.#drained && isBehind(stream);
      this.#streams.remove(stream);
      stream.fail(behind ? asBehind(error) : error);
    }
  }

  // What follows up to `more` runs inside the reader: FrameViolation ends the connection.

  frame(type: number, flags: number, id: number, meta: Buffer, body: Buffer, left: number): void {
    if (this.#state === "greeting") return this.#greet(type, flags, id, meta, body);
    this.#current = undefined;
    if (isIgnorable(type)) return this.#throttle.charge(1 + (body.length + left) / 1024);
    switch (type) {
      case FRAME.reply:
        return this.#reply(this.#find(id), flags, meta, body, left);
      case FRAME.data:
        return this.#data(this.#find(id), flags, meta, body, left);
      case FRAME.reset:
        return this.#reset(this.#find(id), body);
    }
    if (type === FRAME.ping) {
      if (flags !== END || id !== 0) throw new FrameViolation("a PING that is no echo");
      return this.#pings.echo(body);
    }
    if (flags !== 0) throw new FrameViolation(`END on a frame of type ${type}`);
    if (type === FRAME.window) return this.#window(this.#find(id), body);
    if (type !== FRAME.event) throw new FrameViolation(`a frame of type ${type}`);
    if (id !== 0) this.#find(id);
    this.#throttle.charge(1 + (meta.length + body.length) / 1024);
    this.#event(readEvent(meta), body);
  }

  more(data: Buffer, left: number): void {
    const stream = this.#current;
    if (stream !== undefined) this.#take(stream, data, left);
  }

  #greet(type: number, flags: number, id: number, meta: Buffer, body: Buffer): void {
    if (type !== FRAME.hello || flags !== 0 || id !== 0 || body.length > 0)
      throw new FrameViolation("something else than a HELLO at the beginning");
    this.#hello = readHello(meta);
    const more = this.#hello.window - this.#sendWindow;
    this.#sendWindow = this.#hello.window;
    this.#state = "loading";
    for (let stream = this.#streams.first; stream !== undefined; stream = stream.next) {
      stream.sendCredit += more;
      stream.pump(this.#outgoing);
    }
  }

  #reply(stream: CallStream, flags: number, meta: Buffer, body: Buffer, left: number): void {
    if (stream.phase !== "waiting") throw new FrameViolation("a second REPLY");
    const failure = meta.length === 0 ? undefined : readFailure(meta);
    if (failure === null)
      stream.fail(sandboxError("OL_SANDBOX_PROTOCOL", "The sandbox answered with an unknown kind of error."));
    if (flags === END && left === 0) {
      this.#close(stream);
      stream.whole(failure ?? undefined, body);
      return;
    }
    stream.begin(failure ?? undefined);
    this.#currentEnds = flags === END;
    this.#take(stream, body, left);
  }

  #data(stream: CallStream, flags: number, meta: Buffer, body: Buffer, left: number): void {
    if (stream.phase === "waiting") throw new FrameViolation("DATA before REPLY");
    this.#currentEnds = flags === END;
    if (meta.length > 0 && !this.#currentEnds) throw new FrameViolation("meta in the middle of a body");
    const size = body.length + left;
    if (size > stream.receiveCredit) throw new FrameViolation("DATA beyond its credit");
    stream.receiveCredit -= size;
    if (size === 0 && !this.#currentEnds) this.#throttle.charge(1);
    this.#take(stream, body, left);
  }

  /** Passes on a piece of a REPLY's or DATA's body. */
  #take(stream: CallStream, data: Buffer, left: number): void {
    this.#current = left > 0 ? stream : undefined;
    const last = left === 0 && this.#currentEnds;
    if (last) this.#close(stream);
    stream.push(data);
    if (last) stream.end();
  }

  #window(stream: CallStream, body: Buffer): void {
    this.#throttle.charge(0.1);
    stream.sendCredit += readCredit(body);
    if (stream.sendCredit > MAX_CREDIT) throw new FrameViolation("more credit than fits");
    stream.pump(this.#outgoing);
  }

  #reset(stream: CallStream, body: Buffer): void {
    const code = readResetCode(body);
    const recalled = stream.recalled && code === RESET_CODE.refused;
    this.#close(stream);
    stream.fail(recalled ? recalledError() : resetError(code));
  }

  #event(name: string, body: Buffer): void {
    if (name === "ready") {
      if (this.#state === "loading") this.#loaded();
    } else if (name === "import-error") {
      const text = body.toString("utf8") || "The lambda's code could not be loaded.";
      this.#finish(sandboxError("OL_SANDBOX_IMPORT_FAILED", text));
    } else {
      this.#owner.event?.(name, body);
    }
  }

  #loaded(): void {
    this.#state = "ready";
    const nowMs = performance.now();
    for (let stream = this.#streams.first; stream !== undefined; stream = stream.next)
      stream.startedAtMs = nowMs;
    this.#owner.ready();
  }

  #find(id: number): CallStream {
    const stream = this.#streams.find(id);
    if (stream === undefined) throw new FrameViolation(`a frame for stream ${id}, which is not open`);
    return stream;
  }

  /** Throws the reason why no call can be opened now. */
  #mayOpen(): void {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#state === "ended")
      throw sandboxError("OL_SANDBOX_DESTROYED", "The sandbox has closed its connection.");
    if (this.#retired === undefined && this.#nextId > MAX_STREAM_ID)
      this.#retire(sandboxError("OL_SANDBOX_DESTROYED", "The sandbox has used up its stream numbers."));
    if (this.#retired !== undefined)
      throw sandboxError("OL_SANDBOX_DESTROYED", "The sandbox takes no new calls; it is being destroyed.", {
        cause: this.#retired,
      });
  }

  /** The guest's last frame for a stream has come. The next in line starts to run. */
  #close(stream: CallStream): void {
    const next = this.#streams.first === stream ? stream.next : undefined;
    stream.phase = "closed";
    this.#streams.remove(stream);
    if (next !== undefined) next.startedAtMs = performance.now();
    if (this.#retired !== undefined && (stream.resetAtMs > 0 || this.#streams.size === 0))
      queueMicrotask(() => this.#finish(this.#retired as OlError));
  }

  /** Gives credit back when half a window is owed. A REPLY's body took none but returns it: a guest may count it. */
  readonly #consumed = (stream: CallStream, bytes: number): void => {
    stream.owed += bytes;
    if (stream.phase === "closed" || this.#state === "ended" || stream.owed * 2 < DEFAULT_WINDOW) return;
    this.#outgoing.write(FRAME.window, 0, stream.id, "", encodeUint32(stream.owed));
    stream.receiveCredit += stream.owed;
    stream.owed = 0;
  };

  readonly #read = (chunk: Buffer): void => {
    if (this.#state === "ended") return;
    try {
      this.#reader.push(chunk);
    } catch (error) {
      if (!(error instanceof FrameViolation)) throw error;
      this.#violated(error.message);
      return;
    }
    this.#partial.seen(this.#reader.partial);
  };

  /** Looks at every deadline; returns the next. */
  #check(nowMs: number): number {
    try {
      if (this.#throttle.resumes(nowMs)) this.#partial.restart(nowMs);
      return Math.min(
        this.#throttle.resumeAtMs,
        this.#checkHello(nowMs),
        this.#throttle.paused ? Number.POSITIVE_INFINITY : this.#partial.check(nowMs),
        this.#outgoing.check(nowMs, this.#mayBeBusy()),
        this.#checkCalls(nowMs),
      );
    } catch (error) {
      if (!(error instanceof FrameViolation)) throw error;
      this.#violated(error.message);
      return Number.POSITIVE_INFINITY;
    }
  }

  #checkHello(nowMs: number): number {
    if (this.#state !== "greeting") return Number.POSITIVE_INFINITY;
    const dueMs = this.#startedAtMs + this.#timers.helloMs;
    if (nowMs >= dueMs) throw new FrameViolation(`no HELLO within ${this.#timers.helloMs} ms`);
    return dueMs;
  }

  /** Calls run one at a time, so only the first in line is running against its limit. */
  #checkCalls(nowMs: number): number {
    const running = this.#streams.first;
    if (running === undefined) return Number.POSITIVE_INFINITY;
    if (running.resetAtMs > 0) {
      const dueMs = running.resetAtMs + this.#timers.resetMs;
      if (nowMs < dueMs) return dueMs;
      this.#finish(this.#retired as OlError);
      return Number.POSITIVE_INFINITY;
    }
    const dueMs = running.startedAtMs + running.timeoutMs;
    if (nowMs < dueMs) return Math.min(dueMs, this.#checkWaiting(running.next, nowMs));
    this.#expire(running, nowMs);
    return nowMs + this.#timers.resetMs;
  }

  /** Once the next call in line has waited for too long, all that wait are asked back; returns when to look again. */
  #checkWaiting(next: CallStream | undefined, nowMs: number): number {
    if (next === undefined) return Number.POSITIVE_INFINITY;
    const dueMs = next.startedAtMs + next.waitMs;
    if (nowMs < dueMs) return dueMs;
    recallWaiting(this.#streams, (stream, code) =>
      this.#outgoing.write(FRAME.reset, 0, stream.id, "", encodeUint32(code)),
    );
    return nowMs + next.waitMs;
  }

  #expire(stream: CallStream, nowMs: number): void {
    const error = timeLimitError(stream.timeoutMs, this.#state === "ready");
    stream.resetAtMs = nowMs;
    this.#outgoing.write(FRAME.reset, 0, stream.id, "", encodeUint32(RESET_CODE.deadline));
    stream.fail(error);
    this.#retire(overrunError(error));
  }

  #retire(error: OlError): void {
    this.#retired ??= error;
    this.#owner.retiring(error);
  }

  /** While code is loaded, or a call that was written in full may run, a guest reads nothing. */
  #mayBeBusy(): boolean {
    if (this.#state !== "ready") return true;
    const running = this.#streams.first;
    return running !== undefined && running.writtenAt <= this.#outgoing.flushed;
  }

  #violated(what: string): void {
    this.#finish(sandboxError("OL_SANDBOX_PROTOCOL", `The sandbox broke the wire protocol: ${what}.`));
  }

  #finish(error: OlError): void {
    if (this.#state === "ended") return;
    this.fail(error);
    this.#owner.ended(error);
  }

  /** A read fails after all that came; a write may fail before. */
  readonly #broken = (error: NodeJS.ErrnoException): void => {
    if (error.syscall === "read") return this.#over(true);
    const rest = this.#socket instanceof GuestSocket ? this.#socket.rest : undefined;
    if (rest !== undefined) this.#read(rest);
    this.#over(rest !== undefined);
  };

  readonly #closed = (): void => this.#over(true);

  #over(drained: boolean): void {
    if (this.#state === "ended") return;
    this.#drained = drained;
    this.#state = "ended";
    this.#stop();
    this.#owner.ended(undefined);
  }

  #stop(): void {
    this.#watchdog.stop();
    this.#reader.stop();
  }
}
