import { type Logger, messageOf } from "@ol/common";

import type { Clock } from "../clock.ts";
import type { Probe } from "../probe.ts";
import { parseState } from "./state-report.ts";
import type { WorkerTable } from "./table.ts";
import type { Worker } from "./worker.ts";

const CHECK_MS = 2_000;
const CHECK_TIMEOUT_MS = 1_000;
const STATE_MS = 1_000;
const STATE_TIMEOUT_MS = 5_000;
/** A worker is not asked for its state more often than that, whatever it reports. */
const LEAST_STATE_MS = 100;

/** What a watch needs. */
export interface WatchOptions {
  readonly worker: Worker;
  readonly table: WorkerTable;
  readonly probe: Probe;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Asks one worker regularly whether it is ready, and what its state is. */
export class WorkerWatch {
  readonly #options: WatchOptions;
  readonly #stop = new AbortController();
  #cancelCheck: () => void = () => undefined;
  #cancelState: () => void = () => undefined;
  #asking = false;
  #askedMs = Number.NEGATIVE_INFINITY;
  /** Whether the last answer to /state was of use. */
  #understood = true;

  constructor(options: WatchOptions) {
    this.#options = options;
    void this.#check();
    void this.#ask();
  }

  /** Its state has changed in a way that it has to be asked about. */
  soon(): void {
    if (this.#asking || this.#stop.signal.aborted) return;
    const { clock } = this.#options;
    const waitMs = this.#askedMs + LEAST_STATE_MS - clock.nowMs();
    this.#cancelState();
    this.#cancelState = clock.after(Math.max(waitMs, 0), () => void this.#ask());
  }

  stop(): void {
    this.#stop.abort();
    this.#cancelCheck();
    this.#cancelState();
  }

  async #check(): Promise<void> {
    const { worker, table, probe, clock } = this.#options;
    this.#cancelCheck = clock.after(CHECK_MS, () => void this.#check());
    try {
      const { status, load } = await this.#within(CHECK_TIMEOUT_MS, (signal) =>
        probe.status(worker.url, signal),
      );
      if (this.#stop.signal.aborted) return;
      table.reported(worker, load);
      // One that drains says 503, and is as healthy as before.
      table.checked(worker, status === 200 || (status === 503 && worker.draining));
    } catch {
      // What went wrong does not matter; that it did is what is counted, and logged when it counts.
      if (!this.#stop.signal.aborted) table.checked(worker, false);
    }
  }

  async #ask(): Promise<void> {
    const { worker, table, probe, clock, logger } = this.#options;
    this.#asking = true;
    this.#askedMs = clock.nowMs();
    try {
      const since = worker.warm.epoch;
      const answer = await this.#within(STATE_TIMEOUT_MS, (signal) => probe.state(worker.url, since, signal));
      if (this.#stop.signal.aborted) return;
      const state = parseState(answer, since);
      if (state === undefined) throw new Error("its answer is not what a worker says of its state");
      table.learned(worker, state);
      this.#understood = true;
    } catch (error) {
      // One that is down is logged as that.
      if (this.#understood && !this.#stop.signal.aborted && worker.check.up)
        logger.warn("a worker does not say what its state is", {
          worker: worker.id,
          error: messageOf(error),
        });
      this.#understood = false;
    } finally {
      this.#asking = false;
      if (!this.#stop.signal.aborted) this.#cancelState = clock.after(STATE_MS, () => void this.#ask());
    }
  }

  /** As `ask`, which is told to end after `ms` or with this watch. */
  async #within<Answer>(ms: number, ask: (signal: AbortSignal) => Promise<Answer>): Promise<Answer> {
    const late = new AbortController();
    const cancel = this.#options.clock.after(ms, () => late.abort(new Error("no answer in time")));
    try {
      return await ask(AbortSignal.any([late.signal, this.#stop.signal]));
    } finally {
      cancel();
    }
  }
}
