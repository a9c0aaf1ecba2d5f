import { type Logger, parseLoad, parseWarm } from "@ol/common";

import type { Clock } from "../clock.ts";
import type { CallFailure, ReplyReport } from "../lease.ts";
import type { WorkerAddress } from "../options.ts";
import type { Thresholds } from "../policies/policy.ts";
import { admissionLimit } from "./admission.ts";
import { Catalogue } from "./catalogue.ts";
import { choosable } from "./panic.ts";
import type { StateReport } from "./state-report.ts";
import { Worker, type WorkerSetting } from "./worker.ts";

/** What a table is made from. */
export interface WorkerTableOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly thresholds: Thresholds;
  /** The most calls that a worker is sent at once: for each slot, and in all. */
  readonly mostPerSlot: number;
  readonly most: number;
  /** There may be room now where there was none. */
  readonly changed: () => void;
  /** A worker is to be asked for its state. */
  readonly stale: (worker: Worker) => void;
}

/** How exactly the limit follows workers that are given their slots little by little. */
const RAMP_STEP_MS = 100;

/** All workers, which of them get calls, and how many calls those take together. Everything that happens to one is told here. */
export class WorkerTable {
  readonly catalogue: Catalogue = new Catalogue();
  readonly #options: WorkerTableOptions;
  readonly #setting: WorkerSetting;
  readonly #workers = new Map<string, Worker>();
  readonly #comebacks = new Map<Worker, () => void>();
  #eligible: readonly Worker[] = [];
  #panic = false;
  /** Of those that get calls: what they have, and the most that they are sent. */
  #load = 0;
  #limit = 0;
  /** Until when `#limit` is right; Infinity if all have all their slots. */
  #limitUntilMs = Number.POSITIVE_INFINITY;

  constructor(options: WorkerTableOptions) {
    const { clock, mostPerSlot, most } = options;
    this.#options = options;
    this.#setting = {
      nowMs: () => clock.nowMs(),
      mostPerSlot,
      most,
      moved: (worker, by) => {
        if (worker.eligible) this.#load += by;
      },
    };
  }

  get workers(): ReadonlyMap<string, Worker> {
    return this.#workers;
  }

  /** Those that get calls; the same array as long as they are the same. */
  get eligible(): readonly Worker[] {
    return this.#eligible;
  }

  /** Whether so few are healthy that all get calls. */
  get panic(): boolean {
    return this.#panic;
  }

  /** The most calls that all together are sent at once. */
  get limit(): number {
    const nowMs = this.#options.clock.nowMs();
    if (nowMs >= this.#limitUntilMs) this.#measure(nowMs);
    return this.#limit;
  }

  /** Slots of those that get calls. */
  get slots(): number {
    return this.#eligible.reduce((sum, { weight }) => sum + weight, 0);
  }

  /** Whether one more call can be sent. */
  get hasRoom(): boolean {
    return this.#load < this.limit;
  }

  /** Whether `limit` will grow by itself. */
  get ramping(): boolean {
    return this.#limitUntilMs !== Number.POSITIVE_INFINITY;
  }

  /** A worker joins. `established`: it has been there for long, and gets all its slots at once. */
  add(address: WorkerAddress, established: boolean): Worker {
    const sinceMs = established ? Number.NEGATIVE_INFINITY : this.#options.clock.nowMs();
    const worker = new Worker(address, sinceMs, this.#setting);
    this.#workers.set(worker.id, worker);
    this.#refresh(true);
    return worker;
  }

  /** A worker leaves; calls that it has go on. */
  remove(id: string): void {
    const worker = this.#workers.get(id);
    if (worker === undefined) return;
    this.#workers.delete(id);
    this.#forgetComeback(worker);
    this.#refresh(true);
  }

  /** A reply's head has come. */
  answered(worker: Worker, { load, warm }: ReplyReport): void {
    worker.counts.answered += 1;
    worker.ejection.succeeded(this.#options.clock.nowMs());
    this.reported(worker, load);
    const report = warm === undefined || !worker.isNewWarm(warm) ? undefined : parseWarm(warm);
    if (report === undefined) return;
    worker.warm.report(report);
    if (worker.warm.stale) this.#options.stale(worker);
  }

  /** What it says of its load, in whatever reply. */
  reported(worker: Worker, load: string | undefined): void {
    const report = load === undefined ? undefined : parseLoad(load);
    if (report === undefined) return;
    if (worker.report(report)) this.#refresh(true);
    this.#options.changed();
  }

  /** A call did not come to a reply. */
  failed(worker: Worker, reason: CallFailure): void {
    const { counts, ejection } = worker;
    counts[COUNTED[reason]] += 1;
    // A function that takes its time, or a caller that did not wait, is not the worker's fault; checks find one that hangs.
    if (reason === "timeout") return;
    const nowMs = this.#options.clock.nowMs();
    if (!ejection.failed(nowMs)) return;
    counts.ejections += 1;
    worker.check.restart();
    const outMs = ejection.untilMs - nowMs;
    this.#options.logger.warn("calls cannot be brought to a worker; it gets none for a while", {
      worker: worker.id,
      reason,
      outMs,
    });
    this.#forgetComeback(worker);
    this.#comebacks.set(
      worker,
      this.#options.clock.after(outMs, () => this.#comeBack(worker)),
    );
    this.#refresh(false);
  }

  /** A regular check of it ended. */
  checked(worker: Worker, ok: boolean): void {
    const { check, ejection } = worker;
    const { clock, logger } = this.#options;
    const wasUp = check.up;
    check.note(ok);
    if (check.up !== wasUp)
      logger[check.up ? "info" : "warn"](check.up ? "a worker answers again" : "a worker does not answer", {
        worker: worker.id,
      });
    if (check.up && !wasUp) worker.restartRamp();
    if (ejection.isOut(clock.nowMs()) && check.risen) {
      ejection.end(clock.nowMs());
      this.#comeBack(worker);
    } else if (check.up !== wasUp) this.#refresh(false);
  }

  /** It has answered what its state is. */
  learned(worker: Worker, { load, epoch, waitMs, warm, zygotes, functions }: StateReport): void {
    if ("all" in warm) worker.warm.replace(epoch, warm.all);
    else worker.warm.advance(epoch, warm.since);
    if (waitMs !== undefined) worker.waitMs = waitMs;
    if (zygotes !== undefined) worker.zygotes = new Set(zygotes);
    for (const [name, facts] of functions) this.catalogue.learn(name, facts);
    if (worker.report(load)) this.#refresh(true);
    this.#options.changed();
  }

  close(): void {
    for (const cancel of this.#comebacks.values()) cancel();
    this.#comebacks.clear();
  }

  #comeBack(worker: Worker): void {
    this.#forgetComeback(worker);
    worker.restartRamp();
    this.#refresh(false);
  }

  #forgetComeback(worker: Worker): void {
    this.#comebacks.get(worker)?.();
    this.#comebacks.delete(worker);
  }

  /** Finds out anew who gets calls. `resized`: somebody's slots are others than before. */
  #refresh(resized: boolean): void {
    const { workers, panic } = choosable([...this.#workers.values()]);
    if (panic && !this.#panic)
      this.#options.logger.warn("less than half of the workers are healthy: all get calls", {
        healthy: workers.filter(({ health }) => health === "up").length,
        workers: workers.length,
      });
    this.#panic = panic;
    if (resized || !sameWorkers(workers, this.#eligible)) {
      for (const worker of this.#eligible) worker.eligible = false;
      for (const worker of workers) worker.eligible = true;
      this.#eligible = workers;
      this.#load = workers.reduce((sum, { load }) => sum + load, 0);
    }
    this.#measure(this.#options.clock.nowMs());
    this.#options.changed();
  }

  #measure(nowMs: number): void {
    this.#limit = admissionLimit(this.#eligible, this.#options.thresholds);
    const ramping = this.#eligible.some((worker) => worker.ramping);
    this.#limitUntilMs = ramping ? nowMs + RAMP_STEP_MS : Number.POSITIVE_INFINITY;
  }
}

const COUNTED = {
  connect: "connectFailures",
  reset: "resets",
  timeout: "timeouts",
  protocol: "protocolErrors",
} as const;

const sameWorkers = (some: readonly Worker[], others: readonly Worker[]): boolean =>
  some.length === others.length && some.every((worker, at) => worker === others[at]);
