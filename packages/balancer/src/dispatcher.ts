import { balancerError } from "./errors.ts";
import type { CallRequest, Lease } from "./lease.ts";
import type { DispatcherOptions, WorkerAddress } from "./options.ts";

/** One worker's counts. */
export interface WorkerSnapshot {
  readonly id: string;
  readonly url: string;
  /** Calls that were sent to it and are not over. */
  readonly inFlight: number;
}

/** What /status, /stats and /metrics show. */
export interface DispatcherSnapshot {
  readonly draining: boolean;
  readonly workers: readonly WorkerSnapshot[];
}

interface Entry {
  readonly id: string;
  readonly url: URL;
  inFlight: number;
}

/** No function may run for longer by default, with 10 s in the worker's queue and 5 s to spare. */
const FIRST_BYTE_MS = 45_000;

/** Decides which worker a call goes to, and when. */
export class Dispatcher implements AsyncDisposable {
  readonly #workers: Entry[];
  #next = 0;
  #draining = false;

  /** Fails with OL_BALANCER_BAD_OPTION. */
  static create(options: DispatcherOptions): Dispatcher {
    return new Dispatcher(options);
  }

  private constructor({ workers = [] }: DispatcherOptions) {
    this.#workers = workers.map(entryOf);
  }

  /**
   * A place for the call, at once or after a time in the queue. Fails with OL_BALANCER_QUEUE_FULL, OL_BALANCER_FUNCTION_BUSY,
   * OL_BALANCER_NO_WORKER, OL_BALANCER_QUEUE_TIMEOUT or OL_BALANCER_DRAINING, each with `details.retryAfterSec`, and with the
   * signal's reason.
   */
  async acquire(_call: CallRequest, signal: AbortSignal): Promise<Lease> {
    signal.throwIfAborted();
    if (this.#draining)
      throw balancerError("OL_BALANCER_DRAINING", "the balancer is shutting down; it takes no new calls", {
        details: { retryAfterSec: 1 },
      });
    const worker = this.#workers[this.#next % Math.max(this.#workers.length, 1)];
    if (worker === undefined)
      throw balancerError("OL_BALANCER_NO_WORKER", "there is no worker", { details: { retryAfterSec: 1 } });
    this.#next += 1;
    return leaseOf(worker);
  }

  snapshot(): DispatcherSnapshot {
    return {
      draining: this.#draining,
      workers: this.#workers.map(({ id, url, inFlight }) => ({ id, url: url.href, inFlight })),
    };
  }

  /** Takes no new calls from now on. */
  drain(): void {
    this.#draining = true;
  }

  close(): Promise<void> {
    this.drain();
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

const entryOf = ({ id, url }: WorkerAddress): Entry => {
  const parsed = new URL(url);
  return { id: id ?? parsed.host, url: parsed, inFlight: 0 };
};

const leaseOf = (worker: Entry): Lease => {
  let held = true;
  worker.inFlight += 1;
  const release = (): void => {
    if (held) worker.inFlight -= 1;
    held = false;
  };
  return {
    worker,
    firstByteMs: FIRST_BYTE_MS,
    answered: () => undefined,
    failed: () => undefined,
    again: () => {
      release();
      return Promise.resolve(undefined);
    },
    release,
  };
};
