import type { OlError } from "@ol/common";
import {
  type Call,
  type CallFailure,
  type CallHandle,
  type CodeKind,
  type HttpRequest,
  isNotStarted,
  type ReplyHead,
  type ReplySink,
  wasBehind,
} from "@ol/sandbox";

import { lambdaError } from "./errors.ts";

/** A call as it comes to the manager: the run-time limit is the function's. */
export interface LambdaRequest {
  /** Unique; marks what the call prints, and is in the code's context. */
  readonly invocationId: string;
  /** The event: JSON text, never parsed on the way; empty is `{}`. For an app the request's body, or its beginning. */
  readonly body: Buffer;
  /** More of the body follows by the invocation's `write` and `endBody`; default false. */
  readonly bodyFollows?: boolean;
  /** The request; an app sees it, a function only its body. */
  readonly http: HttpRequest;
  /** W3C trace context, passed on as it is. */
  readonly traceparent: string;
  /** Name, value, name, value ... */
  readonly rawHeaders: readonly string[];
  /**
   * For so long the caller waits for it to begin, in ms; at most the manager's own `queueTimeoutMs` counts; default: so long. At
   * the limit: OL_LAMBDA_QUEUE_TIMEOUT.
   */
  readonly waitMs?: number | undefined;
}

/** Where a call's time went, in ms; 0 for what there was none of. */
export interface CallPhases {
  /** Waiting for a sandbox, a slot or its turn, without what follows. */
  readonly queueMs: number;
  /** Waiting for memory for a new sandbox. */
  readonly memoryMs: number;
  /** Making it. */
  readonly forkMs: number;
  /** Loading the code in it. */
  readonly importMs: number;
  /** Running; until now, for a call that is not over. */
  readonly runMs: number;
}

/** What the first call in a sandbox waited for. */
export interface ColdStart {
  readonly memoryMs: number;
  readonly forkMs: number;
  /** When its code was loaded, on the clock of performance.now(); undefined until then. */
  readonly readyMs: number | undefined;
}

/** The caller's end of a call. */
export interface Invocation {
  /** Whether a byte of the call may have reached a sandbox. False means: running it elsewhere is safe. */
  readonly started: boolean;
  /** Undefined for a call that did not begin. */
  phases(): CallPhases | undefined;
  /** As of a sandbox's call: see CallHandle. Before the call began there is no room. */
  write(data: Buffer): boolean;
  endBody(): void;
  /** The caller has room again after its sink's `chunk` returned false. */
  resume(): void;
  /** The caller is gone. A waiting call is dropped, an app is told, a function runs on; the sink hears nothing more. */
  cancel(): void;
}

/**
 * Only calls of well under a millisecond are handed to a sandbox that is busy. After this the one before is no such call, or
 * the machine has more to do than it can, and what waits behind it may be better off elsewhere.
 */
const WAIT_MS = 10;

/** Who is told what becomes of a call outside of sandboxes. */
export interface CallOwner {
  callDropped(call: PendingCall): void;
  /** Its reply has arrived, and so much of it is not read. False: it is to hold its sandbox until it is. */
  replyUnread(bytes: number): boolean;
  /** A reply of which so much was not read is read, or wanted no more. */
  replyRead(bytes: number): void;
}

/** Who is told what becomes of a running call. */
export interface CallRunner {
  /** The call is over and the sandbox lives on. */
  callEnded(call: PendingCall): void;
  /** The call is over and so is the sandbox, or it has to be. */
  callFailed(call: PendingCall, error: OlError): void;
  /** The call certainly has not begun, and waits again: its sandbox is over (once in a call's life), or busy. */
  callReturned(call: PendingCall, error: OlError): void;
}

/**
 * queued → running → settled (or once more queued), or queued → dropped (client gone) or settled (refused), or running → abandoned
 * (client gone; ends when the sandbox says so). A reply that comes in pieces: running → unread (it has left the sandbox, and
 * the client still reads) or holding (likewise, but it counts as running) → settled.
 */
export type CallState = "queued" | "running" | "unread" | "holding" | "abandoned" | "settled" | "dropped";

/**
 * One call from the queue to its reply: what the sandbox is given as the call and as the sink. One object a call,
 * no closures, since this is the hot path.
 */
export class PendingCall implements Call, ReplySink, Invocation {
  readonly invocationId: string;
  readonly body: Buffer;
  readonly traceparent: string;
  readonly rawHeaders: readonly string[];
  readonly bodyFollows: boolean;
  readonly waitMs: number = WAIT_MS;
  /** When it came; on the clock of performance.now(). */
  readonly sinceMs: number;
  /** Set when the call is handed to a sandbox. */
  timeoutMs = 0;
  /** When it is refused if it still waits; on the clock of performance.now(). */
  deadlineMs = 0;
  /** When it was handed to a sandbox, or the one before it in the sandbox ended; -1 until then. */
  runningSinceMs = -1;
  /** When it ended; -1 until then. */
  endedMs = -1;
  /** How the lambda itself failed, if it replied and did. */
  failure: CallFailure | undefined;
  /** Only of a first call in a sandbox that came before it was ready. */
  cold: ColdStart | undefined;
  state: CallState = "queued";
  /** Undefined where the code is known to be a function. */
  http: HttpRequest | undefined;
  readonly #http: HttpRequest;
  readonly #sink: ReplySink;
  readonly #owner: CallOwner;
  readonly #waitMs: number;
  #runner: CallRunner | undefined;
  #handle: CallHandle | undefined;
  /** What of its reply was not read when it left the sandbox. */
  #unreadBytes = 0;
  #returned = false;
  /** Whether a sandbox has read it that did not begin it. */
  #wasRead = false;
  /** Whether a part of the body that followed was handed on: it cannot be had again. */
  #wrote = false;

  constructor(request: LambdaRequest, sink: ReplySink, owner: CallOwner, sinceMs: number, longestMs: number) {
    this.invocationId = request.invocationId;
    this.body = request.body;
    this.traceparent = request.traceparent;
    this.rawHeaders = request.rawHeaders;
    this.bodyFollows = request.bodyFollows ?? false;
    this.#http = request.http;
    this.sinceMs = sinceMs;
    this.#sink = sink;
    this.#owner = owner;
    this.#waitMs = request.waitMs ?? Number.POSITIVE_INFINITY;
    this.waitUpTo(longestMs);
  }

  /** It may wait for so long since it came, or as long as its caller waits, if that is less. */
  waitUpTo(longestMs: number): void {
    this.deadlineMs = this.sinceMs + Math.min(longestMs, this.#waitMs);
  }

  get started(): boolean {
    return this.#runner !== undefined || this.#wasRead;
  }

  /** From here on the call may have reached a sandbox; it is handed to another only if it certainly did not. */
  begin(runner: CallRunner, timeoutMs: number, nowMs: number, kind: CodeKind | undefined): void {
    this.state = "running";
    this.http = kind === "function" && !this.bodyFollows ? undefined : this.#http;
    this.#runner = runner;
    this.timeoutMs = timeoutMs;
    this.runningSinceMs = nowMs;
  }

  /** What the sandbox returned for it. */
  attach(handle: CallHandle): void {
    this.#handle = handle;
  }

  /** Ends a waiting call with an error. */
  refuse(error: OlError): void {
    if (this.state !== "queued") return;
    this.state = "settled";
    this.#sink.fail(error);
  }

  phases(): CallPhases | undefined {
    if (this.runningSinceMs < 0) return undefined;
    const endMs = this.endedMs < 0 ? performance.now() : this.endedMs;
    const { memoryMs = 0, forkMs = 0, readyMs = 0 } = this.cold ?? {};
    const loadedMs = Math.max(readyMs, this.runningSinceMs);
    return {
      queueMs: Math.max(this.runningSinceMs - this.sinceMs - memoryMs - forkMs, 0),
      memoryMs,
      forkMs,
      importMs: loadedMs - this.runningSinceMs,
      runMs: Math.max(endMs - loadedMs, 0),
    };
  }

  write(data: Buffer): boolean {
    if (!this.#isOpen || this.#handle === undefined) return false;
    this.#wrote = true;
    return this.#handle.write(data);
  }

  endBody(): void {
    if (!this.#isOpen) return;
    this.#wrote = true;
    this.#handle?.endBody();
  }

  resume(): void {
    this.#handle?.resume();
  }

  cancel(): void {
    if (this.state === "queued") {
      this.state = "dropped";
      this.#owner.callDropped(this);
    } else if (this.state === "running") {
      // The sandbox's last word on the call still comes here: whoever runs it has to hear when the sandbox is free again.
      this.state = "abandoned";
      this.#handle?.resume();
      // A function is not told: it runs on.
      if (this.http !== undefined) this.#handle?.cancel();
    } else if (this.state === "unread" || this.state === "holding") {
      this.#handle?.abandon();
      this.#finishReading();
    }
  }

  whole(failure: CallFailure | undefined, body: Buffer, head?: ReplyHead): void {
    const wanted = this.#end();
    this.failure = failure;
    // First the next call to the sandbox, then this one's reply: the guest works while the reply is written.
    this.#runner?.callEnded(this);
    if (wanted) this.#sink.whole(failure, body, head);
  }

  start(failure: CallFailure | undefined, head?: ReplyHead): void {
    this.failure = failure;
    if (this.state === "running") this.#sink.start(failure, head);
  }

  drain(): void {
    if (this.state === "running") this.#sink.drain?.();
  }

  chunk(data: Buffer): boolean {
    return this.#isOpen ? this.#sink.chunk(data) : true;
  }

  arrived(unreadBytes: number): void {
    if (this.state === "abandoned") {
      this.state = "settled";
      this.#runner?.callEnded(this);
    } else if (this.#owner.replyUnread(unreadBytes)) {
      this.state = "unread";
      this.#unreadBytes = unreadBytes;
      this.#runner?.callEnded(this);
    } else this.state = "holding";
  }

  end(): void {
    if (!this.#isOpen) return;
    this.#finishReading();
    this.#sink.end();
  }

  fail(error: OlError): void {
    const unread = isNotStarted(error);
    if (this.state === "running" && this.#mayRunElsewhere(error, unread)) return this.#return(error);
    const wanted = this.#end();
    this.#runner?.callFailed(this, error);
    if (unread) this.#runner = undefined;
    if (wanted) this.#sink.fail(unread && isLost(error) ? neverStarted(error) : error);
  }

  /** Where the sandbox ended it is tried once more; asked back from one that is busy it may be as often as that happens. */
  #mayRunElsewhere(error: OlError, unread: boolean): boolean {
    if (this.#wrote) return false;
    if (error.code === "OL_SANDBOX_RECALLED") return true;
    if (this.#returned || !(wasBehind(error) || (unread && isLost(error)))) return false;
    this.#returned = true;
    return true;
  }

  #return(error: OlError): void {
    const runner = this.#runner;
    this.#wasRead ||= wasBehind(error);
    this.state = "queued";
    this.runningSinceMs = -1;
    this.endedMs = -1;
    this.cold = undefined;
    this.#runner = undefined;
    this.#handle = undefined;
    runner?.callReturned(this, error);
  }

  /** Whether a sandbox has it or had it, and its caller still listens. */
  get #isOpen(): boolean {
    return this.state === "running" || this.state === "unread" || this.state === "holding";
  }

  /** Of a reply that has arrived nobody reads any more. */
  #finishReading(): void {
    const { state } = this;
    this.state = "settled";
    if (state === "unread") this.#owner.replyRead(this.#unreadBytes);
    else this.#runner?.callEnded(this);
  }

  /** Settles; whether somebody still waits for the reply. */
  #end(): boolean {
    const wanted = this.state === "running";
    this.state = "settled";
    return wanted;
  }
}

/** The sandbox is to blame, and not what it was to run. */
const isLost = (error: OlError): boolean => error.code === "OL_SANDBOX_DESTROYED";

const neverStarted = (cause: OlError): OlError =>
  lambdaError("OL_LAMBDA_NOT_STARTED", "two sandboxes in a row ended before the call began", { cause });
