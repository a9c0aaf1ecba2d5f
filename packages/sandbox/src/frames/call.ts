import type { OlError } from "@ol/common";

/** One call of a function in a sandbox. */
export interface Call {
  readonly invocationId: string;
  /** The event: JSON text as the client sent it, never parsed on the way. */
  readonly body: Buffer;
  /** How long the call may run, in ms, from the moment the guest's code is loaded. */
  readonly timeoutMs: number;
  /**
   * How long it may wait in the sandbox behind other calls, in ms. Then it is asked back, and fails with
   * OL_SANDBOX_RECALLED if it has not begun. It waits as long as it takes by default.
   */
  readonly waitMs?: number;
  /** W3C trace context, passed on as it is. */
  readonly traceparent?: string;
  /** The client's header fields as node:http's rawHeaders lists them: name, value, name, value ... */
  readonly rawHeaders?: readonly string[];
}

/** How the guest says a call went. `undefined` is success: the body is the result's JSON. */
export type CallFailure = "bad-input" | "exception" | "bad-output";

/**
 * Receives one call's reply: either `whole`, or `start`, some `chunk`s and `end`, or at any moment `fail`.
 * Exactly one of `whole`, `end`, `fail` comes last, exactly once. With a failure the body is JSON
 * {type, message}, which the runtime wrote; treat it as text from a stranger.
 */
export interface ReplySink {
  whole(failure: CallFailure | undefined, body: Buffer): void;
  start(failure: CallFailure | undefined): void;
  /** Returns false when the receiver is full; call `resume` of the call's handle to get more. */
  chunk(data: Buffer): boolean;
  end(): void;
  /**
   * OL_SANDBOX_EXITED, _OUT_OF_MEMORY, _TIMEOUT, _IMPORT_FAILED, _PROTOCOL, _DESTROYED, _CANCELLED or _RECALLED, and what
   * resuming a paused sandbox may fail with. `isNotStarted` and `wasBehind` say whether it may be run elsewhere without
   * being run twice.
   */
  fail(error: OlError): void;
}

export interface CallHandle {
  /** The receiver has room again. */
  resume(): void;
  /** Nobody wants the reply: it runs on, its reply is dropped; the sink hears nothing more. */
  abandon(): void;
}
