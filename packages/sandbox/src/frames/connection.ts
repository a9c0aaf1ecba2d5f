import { Socket } from "node:net";
import type { Duplex } from "node:stream";

import type { OlError } from "@ol/common";

import { sandboxError } from "../errors.ts";
import { asBehind } from "../not-started.ts";
import { overrunError } from "./call-errors.ts";
import type { CallStream } from "./call-stream.ts";
import type { Call, CallHandle, CodeKind, ReplySink } from "./call.ts";
import { DEFAULT_WINDOW, EMPTY, END, FRAME, FrameViolation, PROTOCOL_VERSION, isIgnorable } from "./codec.ts";
import {
  type ConnectionOwner,
  type ConnectionTimers,
  DEFAULT_CONNECTION_TIMERS,
} from "./connection-options.ts";
import { Deadlines } from "./deadlines.ts";
import { GuestSocket } from "./guest-socket.ts";
import { type GuestHello, readEvent, readHello, readKind } from "./incoming.ts";
import { OpenCalls } from "./open-calls.ts";
import { openingMeta } from "./opening.ts";
import { Outgoing } from "./outgoing.ts";
import { PartialFrame } from "./partial-frame.ts";
import { Pings } from "./pings.ts";
import { type FrameHandler, FrameReader } from "./reader.ts";
import { Throttle } from "./throttle.ts";
import { isBehind } from "./waiting-streams.ts";
import { Watchdog } from "./watchdog.ts";

type State = "greeting" | "loading" | "ready" | "ended";

/**
 * The worker's side of one connection to a guest, which runs its calls one at a time in their order, or all at once if
 * its code is an ASGI app. The guest is not trusted: whatever it sends against the protocol ends the connection with
 * OL_SANDBOX_PROTOCOL.
 */
export class GuestConnection implements FrameHandler {
  readonly #socket: Duplex;
  readonly #owner: ConnectionOwner;
  readonly #timers: ConnectionTimers;
  readonly #reader: FrameReader = new FrameReader(this);
  readonly #outgoing: Outgoing;
  readonly #calls: OpenCalls;
  readonly #deadlines: Deadlines;
  readonly #pings = new Pings();
  readonly #throttle: Throttle;
  readonly #watchdog: Watchdog = new Watchdog((nowMs) => this.#check(nowMs));
  readonly #startedAtMs: number = performance.now();

  #state: State = "greeting";
  #hello: GuestHello | undefined;
  /** Why no new calls are taken although the connection is not over. */
  #retired: OlError | undefined;
  #failure: OlError | undefined;
  readonly #partial: PartialFrame;
  #suspendedAtMs = 0;
  /** Whether all that the guest ever sent was read: only then is it known which call was the last to begin. */
  #drained = false;

  /** Takes `socket` over. `timers` only replaces what it names. */
  constructor(socket: Duplex, owner: ConnectionOwner, timers: Partial<ConnectionTimers> = {}) {
    // An engine of anybody's has what Node made for it: a server's connection, a child's pipe.
    if (Object.getPrototypeOf(socket) === Socket.prototype) GuestSocket.of(socket as Socket);
    this.#socket = socket;
    this.#owner = owner;
    this.#timers = { ...DEFAULT_CONNECTION_TIMERS, ...timers };
    this.#throttle = new Throttle(socket, this.#watchdog, this.#startedAtMs);
    this.#outgoing = new Outgoing(socket, this.#watchdog, this.#timers.writeStallMs);
    this.#calls = new OpenCalls(this.#outgoing, this.#throttle, this.#callOver);
    this.#deadlines = new Deadlines(this.#calls, this.#timers, {
      expired: (error) => this.#retire(overrunError(error)),
      overdue: () => this.#finish(this.#retired as OlError),
    });
    this.#partial = new PartialFrame(this.#watchdog, this.#timers.partialFrameMs);
    socket.on("data", this.#read);
    socket.on("error", this.#broken);
    socket.on("end", this.#closed);
    socket.on("close", this.#closed);
    const hello = `:v\0${PROTOCOL_VERSION}\0:window\0${DEFAULT_WINDOW}\0:kinds\0call http`;
    this.#outgoing.write(FRAME.hello, 0, 0, hello, EMPTY);
    this.#watchdog.at(this.#startedAtMs + this.#timers.helloMs, this.#startedAtMs);
  }

  /** Calls whose last frame has not come. */
  get inFlight(): number {
    return this.#calls.streams.size;
  }

  /** What the code is; undefined until it is loaded. */
  get kind(): CodeKind | undefined {
    return this.#calls.kind;
  }

  /** How many calls the guest takes at once: one runs and the others wait in it, or of an ASGI app all run. */
  get streams(): number {
    return this.#hello?.streams ?? 1;
  }

  /** What the guest said of itself; undefined before its HELLO. Information only. */
  get hello(): GuestHello | undefined {
    return this.#hello;
  }

  /** Opens a call. The sink hears nothing before this has returned. */
  open(call: Call, sink: ReplySink): CallHandle {
    const stream = this.#calls.make(call, sink);
    let meta: string;
    try {
      this.#mayOpen();
      meta = openingMeta(call);
    } catch (error) {
      stream.refuse(error as OlError);
      return stream;
    }
    this.#calls.open(stream, meta, call.body);
    this.#watchdog.at(this.#deadlines.firstOf(stream), stream.startedAtMs);
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
    this.#deadlines.shift(heldMs);
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
    const { streams, concurrent } = this.#calls;
    for (let stream = streams.last; stream !== undefined; stream = streams.last) {
      const behind = this.#drained && !concurrent && isBehind(stream);
      stream.close();
      streams.remove(stream);
      stream.fail(behind ? asBehind(error) : error);
    }
  }

  // What follows up to `more` runs inside the reader: FrameViolation ends the connection.

  frame(type: number, flags: number, id: number, meta: Buffer, body: Buffer, left: number): void {
    if (this.#state === "greeting") return this.#greet(type, flags, id, meta, body);
    if (isIgnorable(type)) return this.#throttle.charge(1 + (body.length + left) / 1024);
    const calls = this.#calls;
    switch (type) {
      case FRAME.reply:
        return calls.reply(calls.find(id), flags, meta, body, left);
      case FRAME.data:
        return calls.data(calls.find(id), flags, meta, body, left);
      case FRAME.reset:
        return calls.reset(calls.find(id), body);
    }
    if (type === FRAME.ping) {
      if (flags !== END || id !== 0) throw new FrameViolation("a PING that is no echo");
      return this.#pings.echo(body);
    }
    if (flags !== 0) throw new FrameViolation(`END on a frame of type ${type}`);
    if (type === FRAME.window) return calls.window(calls.find(id), body);
    if (type !== FRAME.event) throw new FrameViolation(`a frame of type ${type}`);
    if (id !== 0) calls.find(id);
    this.#throttle.charge(1 + (meta.length + body.length) / 1024);
    this.#event(readEvent(meta), meta, body);
  }

  more(data: Buffer, left: number): void {
    this.#calls.more(data, left);
  }

  #greet(type: number, flags: number, id: number, meta: Buffer, body: Buffer): void {
    if (type !== FRAME.hello || flags !== 0 || id !== 0 || body.length > 0)
      throw new FrameViolation("something else than a HELLO at the beginning");
    this.#hello = readHello(meta);
    this.#state = "loading";
    this.#calls.setWindow(this.#hello.window);
  }

  #event(name: string, meta: Buffer, body: Buffer): void {
    if (name === "ready") {
      const kind = readKind(meta);
      if (this.#state === "loading") this.#loaded(kind);
    } else if (name === "import-error") {
      const text = body.toString("utf8") || "The lambda's code could not be loaded.";
      this.#finish(sandboxError("OL_SANDBOX_IMPORT_FAILED", text));
    } else {
      this.#owner.event?.(name, body);
    }
  }

  #loaded(kind: CodeKind): void {
    this.#state = "ready";
    const nowMs = performance.now();
    this.#calls.loaded(kind, nowMs);
    this.#watchdog.at(this.#deadlines.firstOfAll(), nowMs);
    this.#owner.ready();
  }

  /** Throws the reason why no call can be opened now. */
  #mayOpen(): void {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#state === "ended")
      throw sandboxError("OL_SANDBOX_DESTROYED", "The sandbox has closed its connection.");
    if (this.#retired === undefined && this.#calls.usedUp)
      this.#retire(sandboxError("OL_SANDBOX_DESTROYED", "The sandbox has used up its stream numbers."));
    if (this.#retired !== undefined)
      throw sandboxError("OL_SANDBOX_DESTROYED", "The sandbox takes no new calls; it is being destroyed.", {
        cause: this.#retired,
      });
  }

  readonly #callOver = (stream: CallStream): void => {
    if (this.#retired === undefined) return;
    if (this.#deadlines.isLast(stream)) return queueMicrotask(() => this.#finish(this.#retired as OlError));
    const nowMs = performance.now();
    this.#watchdog.at(nowMs, nowMs);
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
        this.#deadlines.check(nowMs),
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

  #retire(error: OlError): void {
    this.#retired ??= error;
    this.#owner.retiring(error);
  }

  /** While code is loaded, or a call may run, a guest reads nothing. */
  #mayBeBusy(): boolean {
    return this.#state !== "ready" || this.#calls.mayRun(this.#outgoing.flushed);
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
    this.#calls.stop();
  }
}
