/** What the proxy holds clients and workers to. */
export interface ProxyLimits {
  /** Connections of clients at once; beyond that new ones are closed. */
  readonly maxConnections: number;
  /** How long a client may take to send a request's header. */
  readonly headersMs: number;
  /** How long a client's body may stop coming. */
  readonly bodyIdleMs: number;
  /** How long a connection to a worker may take. */
  readonly connectMs: number;
  /** How long a worker's reply may stop coming, and a client may stop reading it. */
  readonly idleMs: number;
  /** How long calls may take to end once the balancer is being closed. */
  readonly drainMs: number;
  /** Up to here a body is read before a worker is asked for, and kept until it is answered, to be sent again. */
  readonly keptBytes: number;
  /** What all kept bodies may take; beyond that bodies are passed on as they come. */
  readonly maxKeptBytes: number;
}

/** Those of a balancer that is not told otherwise. */
export const DEFAULT_LIMITS: ProxyLimits = {
  maxConnections: 10_000,
  headersMs: 10_000,
  bodyIdleMs: 30_000,
  connectMs: 1_000,
  idleMs: 60_000,
  drainMs: 30_000,
  keptBytes: 64 * 1024,
  maxKeptBytes: 256 * 1024 * 1024,
};

/** A request's header: beyond that it is answered with 431. */
export const MAX_HEAD_BYTES: number = 16 * 1024;
export const MAX_FIELDS = 100;
