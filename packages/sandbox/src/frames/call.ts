import type { OlError } from "@ol/common";

/** What the code in a sandbox is: a function that gets an event, or a web app that gets a request. */
export type CodeKind = "function" | "wsgi" | "asgi";

/** What a web app hears of a request besides its header fields and its body. */
export interface HttpRequest {
  /** As the client sent it. */
  readonly method: string;
  /** Where the app is mounted, such as `/run/NAME`; SCRIPT_NAME and root_path. */
  readonly mount: string;
  /** What follows in the path, as the client sent it: "" or `/...`, percent-encoded. */
  readonly path: string;
  /** What follows the `?`; "" if there is none. */
  readonly query: string;
  /** The client's address. */
  readonly client: string;
}

/** One call in a sandbox. */
export interface Call {
  /** Marks what the call prints, and is in the code's context. */
  readonly invocationId: string;
  /**
   * The event: JSON text as the client sent it, never parsed on the way; empty is `{}`. For an app the request's body,
   * or its beginning.
   */
  readonly body: Buffer;
  /** More of the body follows by the handle's `write` and `endBody`; default false. */
  readonly bodyFollows?: boolean;
  /**
   * The request, for an app; default: none, for a function. Whoever does not know what the code is gives it too: a function's
   * event is the body.
   */
  readonly http?: HttpRequest | undefined;
  /**
   * How long the call may run, in ms, from the moment the guest's code is loaded. At the limit: OL_SANDBOX_TIMEOUT; a function's
   * sandbox is destroyed, an app's once the calls beside it are over.
   */
  readonly timeoutMs: number;
  /**
   * How long it may wait in the sandbox behind other calls, in ms; default: as long as it takes. At the limit: it is asked back,
   * and fails with OL_SANDBOX_RECALLED if it has not begun.
   */
  readonly waitMs?: number;
  /** W3C trace context, passed on as it is; default: none. */
  readonly traceparent?: string;
  /** The client's header fields as node:http's rawHeaders lists them: name, value, name, value ...; default: none. */
  readonly rawHeaders?: readonly string[];
}

/** The head of an app's reply: a status from 200 to 599, and fields that are valid in HTTP. */
export interface ReplyHead {
  readonly status: number;
  /** Name, value, name, value ... */
  readonly headers: readonly string[];
}

/** How the guest says a call went. `undefined` is success: the body is the result's JSON. */
export type CallFailure = "bad-input" | "exception" | "bad-output";

/**
 * Receives one call's reply: either `whole`, or `start`, some `chunk`s, `arrived` among them, and `end`, or at any moment before
 * `arrived` `fail`. Exactly one of `whole`, `end`, `fail` comes last, exactly once. With a failure the body is JSON
 * {type, message}, which the runtime wrote; treat it as text from a stranger.
 */
export interface ReplySink {
  /** `head` is there if an app replied. */
  whole(failure: CallFailure | undefined, body: Buffer, head?: ReplyHead): void;
  /** The reply begins; its body follows in chunks. */
  start(failure: CallFailure | undefined, head?: ReplyHead): void;
  /** Returns false when the receiver is full; call `resume` of the call's handle to get more. */
  chunk(data: Buffer): boolean;
  /**
   * The guest has sent the last of the reply, and the call has left the sandbox. What the receiver had no room for, at most so
   * many bytes, is still to come; `end` follows, whatever happens to the sandbox.
   */
  arrived?(unreadBytes: number): void;
  /** The last chunk was delivered. */
  end(): void;
  /** Of a call whose body follows: there is room for more of it, or its reply is over and no more is wanted. */
  drain?(): void;
  /**
   * OL_SANDBOX_EXITED, _OUT_OF_MEMORY, _TIMEOUT, _IMPORT_FAILED, _PROTOCOL, _DESTROYED, _CANCELLED or _RECALLED, and what
   * resuming a paused sandbox may fail with. `isNotStarted` and `wasBehind` say whether it may be run elsewhere without
   * being run twice.
   */
  fail(error: OlError): void;
}

/** The caller's hold on a call that was handed to a sandbox. */
export interface CallHandle {
  /** The receiver has room again. */
  resume(): void;
  /** Nobody wants the reply: it runs on, its reply is dropped; the sink hears nothing more. */
  abandon(): void;
  /**
   * The client is gone: an app is told so, and ends the call when it can; a function runs on. The sink hears nothing more
   * but `fail`, when the call is over; nothing at all if its reply has `arrived`.
   */
  cancel(): void;
  /** A piece of a body that follows. False: no more before the sink's `drain`. Ignored once the call is over. */
  write(data: Buffer): boolean;
  /** The body that follows is complete. */
  endBody(): void;
}
