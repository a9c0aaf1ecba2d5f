/** A call that wants a worker. */
export interface CallRequest {
  /** The lambda's reference as it stands in the path, checked. */
  readonly name: string;
  /** How long the caller still waits, in ms, if it said so. */
  readonly deadlineMs?: number;
  /** GET or HEAD. */
  readonly idempotent: boolean;
  /** The client's address. */
  readonly client: string;
}

/** Why a call did not come to a reply. */
export type CallFailure = "connect" | "reset" | "timeout" | "protocol";

/** What a worker said of itself in a reply's head: the raw values of X-OL-Load and X-OL-Warm. */
export interface ReplyReport {
  readonly load?: string;
  readonly warm?: string;
}

/** A worker's promise of a place for one call. Released exactly once in the end, by `release` or by `again`. */
export interface Lease {
  readonly worker: { readonly id: string; readonly url: URL };
  /** How long the first byte of the reply may take: the function's limit, time in the worker's queue, and 5 s. */
  readonly firstByteMs: number;
  /** The reply's head has come. */
  answered(report: ReplyReport): void;
  /**
   * It did not come to a reply. `notStarted`: not one byte of the request was written, or the worker itself said
   * X-OL-Not-Started (then after `answered`, so that what it reports is known).
   */
  failed(reason: CallFailure, notStarted: boolean): void;
  /**
   * Another worker for the same call, if a retry is allowed; undefined if not. Ends this lease either way. Fails as
   * `acquire` does.
   */
  again(signal: AbortSignal): Promise<Lease | undefined>;
  /** The call is over. Idempotent. */
  release(): void;
}
