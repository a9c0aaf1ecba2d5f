import type { OlError } from "@ol/common";

/** How long a guest may take, in ms. On a slow or overcommitted machine they may have to be longer. */
export interface ConnectionTimers {
  /** Until its HELLO; default 10,000. At the limit: OL_SANDBOX_PROTOCOL, and the sandbox is destroyed. */
  readonly helloMs: number;
  /** From the first byte of a frame to its last; default 2,000. At the limit: as for `helloMs`. */
  readonly partialFrameMs: number;
  /** Without reading anything although it has nothing else to do; default 2,000. At the limit: as for `helloMs`. */
  readonly writeStallMs: number;
  /** Until its last frame for a stream that we reset; default 1,000. At the limit: the sandbox is destroyed. */
  readonly resetMs: number;
  /** For the calls that run beside one that ran over its time limit; default 5,000. At the limit: they fail, and the sandbox is destroyed. */
  readonly graceMs: number;
}

/**
 * An innocent guest needs a thousandth of these; `graceMs` is its calls' own time. HELLO comes before any code of a
 * lambda runs, so that patience with it costs nothing, and a machine with many more processes than CPUs needs some.
 */
export const DEFAULT_CONNECTION_TIMERS: ConnectionTimers = {
  helloMs: 10_000,
  partialFrameMs: 2_000,
  writeStallMs: 2_000,
  resetMs: 1_000,
  graceMs: 5_000,
};

/** Whoever owns a connection; none of these is called before the connection's constructor has returned. */
export interface ConnectionOwner {
  /** The code is loaded; calls run. */
  ready(): void;
  /**
   * A call ran over its limit: no new ones are taken, and `ended` follows within `resetMs`, or `graceMs` where others
   * run beside it.
   */
  retiring(error: OlError): void;
  /**
   * The connection is over, once. With an error every open call has heard it already. Without one the guest's side
   * closed: the owner finds out why and calls `fail`.
   */
  ended(error: OlError | undefined): void;
  /** An EVENT other than ready and import-error, as the guest sent it. */
  event?(name: string, body: Buffer): void;
}
