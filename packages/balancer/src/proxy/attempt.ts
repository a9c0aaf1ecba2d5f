import type { Dispatcher as Undici } from "undici";

import type { CallFailure, Lease } from "../lease.ts";

/** Whose attempt it is. Nothing is called once the attempt is over or given up. */
export interface AttemptOwner {
  /** The reply's head; false: nothing more until `resume`. */
  head(attempt: Attempt, status: number, raw: readonly Buffer[]): boolean;
  /** A piece of the reply; false: nothing more until `resume`. */
  data(data: Buffer): boolean;
  /** The reply is complete. */
  end(): void;
  /** It ended without that. */
  failed(attempt: Attempt, failure: AttemptFailure): void;
}

/** Why an attempt did not come to its end. */
export interface AttemptFailure {
  /** "request": undici will not send such a request. */
  readonly reason: CallFailure | "request";
  /** Not one byte of the request was written. */
  readonly notStarted: boolean;
  readonly cause: unknown;
}

/** connecting: nothing is written · sent: the request is, at least in part · replying: the head came · over */
type State = "connecting" | "sent" | "replying" | "discarding" | "over";

/** A reply that nobody wants is read up to here, to use its connection again. */
const DISCARD_BYTES = 64 * 1024;

/**
 * One try of a call at one worker: undici's handler. In the form that undici 7 calls deprecated, because it hands out the
 * fields as they came; the other one makes an object of them first, for nothing.
 */
export class Attempt implements Undici.DispatchHandler {
  readonly lease: Lease;
  readonly startedMs: number;
  readonly #owner: AttemptOwner;
  #state: State = "connecting";
  #discarded = 0;
  #abort: (() => void) | undefined;
  #resume: (() => void) | undefined;

  constructor(owner: AttemptOwner, lease: Lease, nowMs: number) {
    this.#owner = owner;
    this.lease = lease;
    this.startedMs = nowMs;
  }

  /** Waits for a connection; nothing is written. */
  get connecting(): boolean {
    return this.#state === "connecting";
  }

  /** The owner has room for more of the reply. */
  resume(): void {
    this.#resume?.();
  }

  /** Nobody wants it any more. Ends its connection. */
  cancel(): void {
    this.#state = "over";
    // While it waits for a connection there is none to end: see onConnect.
    this.#abort?.();
  }

  /** Nobody wants the rest of its reply, which is short. */
  discard(): void {
    if (this.#state !== "replying") return;
    this.#state = "discarding";
    this.#resume?.();
  }

  onConnect(abort: () => void): void {
    this.#abort = abort;
    if (this.#state === "over") abort();
    else this.#state = "sent";
  }

  onHeaders(status: number, raw: Buffer[], resume: () => void): boolean {
    // 100 Continue was not asked for, and undici refuses it; other interim replies are of no use to whom they come late.
    if (status < 200 || this.#state !== "sent") return true;
    this.#state = "replying";
    this.#resume = resume;
    return this.#owner.head(this, status, raw);
  }

  onData(data: Buffer): boolean {
    if (this.#state === "replying") return this.#owner.data(data);
    this.#discarded += data.length;
    if (this.#discarded > DISCARD_BYTES) this.cancel();
    return true;
  }

  onComplete(): void {
    const { replying } = this;
    this.#state = "over";
    if (replying) this.#owner.end();
  }

  onError(cause: Error): void {
    const state = this.#state;
    this.#state = "over";
    if (state === "over" || state === "discarding") return;
    const notStarted = state === "connecting";
    this.#owner.failed(this, { reason: reasonOf(cause, notStarted), notStarted, cause });
  }

  get replying(): boolean {
    return this.#state === "replying";
  }
}

const reasonOf = (error: Error, notStarted: boolean): AttemptFailure["reason"] => {
  const { code = "" } = error as NodeJS.ErrnoException;
  if (code === "UND_ERR_INVALID_ARG" || code === "UND_ERR_NOT_SUPPORTED") return "request";
  if (notStarted) return "connect";
  // What undici's parser says of a reply that is none.
  if (code.startsWith("HPE_") || PROTOCOL.has(code)) return "protocol";
  return "reset";
};

const PROTOCOL: ReadonlySet<string> = new Set([
  "UND_ERR_HEADERS_OVERFLOW",
  "UND_ERR_RES_CONTENT_LENGTH_MISMATCH",
  "UND_ERR_RESPONSE",
]);
