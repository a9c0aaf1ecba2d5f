import { Pool } from "undici";

/** Shorter than a worker keeps idle connections (75 s), so that no request crosses its closing one. */
const KEEP_ALIVE_MS = 60_000;
/** Of a reply; apps set more than clients may. */
const MAX_HEAD_BYTES = 64 * 1024;

/** A worker, as far as connections to it go. */
export interface PoolTarget {
  readonly url: URL;
}

/** Connections to workers. Time limits are the exchanges' own business: undici's are as exact as a second. */
export class WorkerPools {
  readonly #connectMs: number;
  readonly #byOrigin = new Map<string, Pool>();

  constructor(connectMs: number) {
    this.#connectMs = connectMs;
  }

  of({ url }: PoolTarget): Pool {
    const { origin } = url;
    const there = this.#byOrigin.get(origin);
    if (there !== undefined) return there;
    const made = new Pool(origin, {
      pipelining: 1,
      connect: { timeout: this.#connectMs, noDelay: true },
      keepAliveTimeout: KEEP_ALIVE_MS,
      keepAliveMaxTimeout: KEEP_ALIVE_MS,
      headersTimeout: 0,
      bodyTimeout: 0,
      maxHeaderSize: MAX_HEAD_BYTES,
    });
    this.#byOrigin.set(origin, made);
    return made;
  }

  /** Lets go of connections to workers that are none any more; calls that run there end first. */
  keepOnly(origins: ReadonlySet<string>): void {
    for (const [origin, pool] of this.#byOrigin) {
      if (origins.has(origin)) continue;
      this.#byOrigin.delete(origin);
      // Nobody waits for it: it settles when the last call has ended.
      void pool.close();
    }
  }

  async destroy(): Promise<void> {
    const pools = [...this.#byOrigin.values()];
    this.#byOrigin.clear();
    await Promise.all(pools.map((pool) => pool.destroy()));
  }
}
