import type { Worker, WorkerCounts, WorkerHealth } from "./workers/worker.ts";

/** One worker as people see it. */
export interface WorkerSnapshot {
  readonly id: string;
  readonly url: string;
  readonly health: WorkerHealth;
  /** Whether it gets calls. */
  readonly eligible: boolean;
  /** Calls it runs at once; what it is given of that while it warms up. */
  readonly slots: number;
  readonly slotsGiven: number;
  /** Calls that were sent to it and are not over. */
  readonly inFlight: number;
  /** Those, and other balancers' as far as it has reported them. */
  readonly load: number;
  /** Share of its sandbox memory that is promised; undefined before it said so. */
  readonly memory: number | undefined;
  /** Functions that have a sandbox there, and package sets that have a zygote. */
  readonly warm: number;
  readonly zygotes: number;
  readonly counts: Readonly<WorkerCounts>;
}

/** How calls ended, or did not begin. */
export interface CallCounts {
  /** Calls that came. */
  readonly accepted: number;
  /** Those that got a worker. */
  readonly placed: number;
  /** Those that waited for it. */
  readonly waited: number;
  /** Those whose client left while they waited. */
  readonly left: number;
  /** Those that were sent to another worker; each time counts. */
  readonly retried: number;
  /** Retries that were not allowed since too many were under way. */
  readonly retriesRefused: number;
  /** By the code of the error that was the answer. */
  readonly refused: Readonly<Record<string, number>>;
}

/** What /status, /stats and /metrics show. */
export interface DispatcherSnapshot {
  readonly policy: string;
  readonly draining: boolean;
  /** Whether so few workers are healthy that all get calls. */
  readonly panic: boolean;
  /** Workers that get calls. */
  readonly eligible: number;
  /** Calls under way, waiting ones included. */
  readonly live: number;
  /** Of those, calls that have been sent more than once. */
  readonly retrying: number;
  readonly waiting: number;
  /** How many calls all workers together are sent at once, and how many may wait. */
  readonly limit: number;
  readonly mostWaiting: number;
  readonly calls: CallCounts;
  readonly workers: readonly WorkerSnapshot[];
}

/** CallCounts while they are being counted. */
export class Tally implements CallCounts {
  accepted = 0;
  placed = 0;
  waited = 0;
  left = 0;
  retried = 0;
  retriesRefused = 0;
  readonly refused: Record<string, number> = {};

  countRefused(code: string): void {
    this.refused[code] = (this.refused[code] ?? 0) + 1;
  }

  snapshot(): CallCounts {
    const { accepted, placed, waited, left, retried, retriesRefused, refused } = this;
    return { accepted, placed, waited, left, retried, retriesRefused, refused: { ...refused } };
  }
}

/** One worker of a snapshot. */
export const workerSnapshot = (worker: Worker): WorkerSnapshot => ({
  id: worker.id,
  url: worker.url.href,
  health: worker.health,
  eligible: worker.eligible,
  slots: worker.weight,
  slotsGiven: worker.slots,
  inFlight: worker.inFlight,
  load: worker.load,
  memory: worker.memory,
  warm: worker.warm.size,
  zygotes: worker.zygotes.size,
  counts: { ...worker.counts },
});
