import type { OlError } from "@ol/common";

import { Call, type CallSink } from "./call.ts";
import { balancerError } from "./errors.ts";
import { HeldLease, type LeaseOwner } from "./held-lease.ts";
import type { CallFailure, CallRequest, Lease, ReplyReport } from "./lease.ts";
import { Members } from "./members.ts";
import { type DispatcherOptions, type ResolvedOptions, resolveOptions } from "./options.ts";
import { FairQueue } from "./queue/fair-queue.ts";
import { expectedWaitMs, queueLimit } from "./queue/limits.ts";
import { Throughput } from "./queue/throughput.ts";
import { RetryBudget } from "./retry-budget.ts";
import { type DispatcherSnapshot, Tally, workerSnapshot } from "./snapshot.ts";
import { WorkerTable } from "./workers/table.ts";
import type { Worker } from "./workers/worker.ts";

/** Between what a call may take on a worker and when it is given up: for the reply's way. */
const MARGIN_MS = 5_000;
/**
 * How long a call may run of a function that no worker has reported: its limit may be far above the default, and a
 * worker that hangs is found by other means.
 */
const UNKNOWN_LIMIT_MS = 300_000;
const MOST_RETRIES = 2;
/** While workers are given their slots little by little, there may be room without anything having happened. */
const RAMP_LOOK_MS = 250;
const LONGEST_RETRY_AFTER_SEC = 30;

/** Decides which worker a call goes to, and when. */
export class Dispatcher implements LeaseOwner, AsyncDisposable {
  readonly #options: ResolvedOptions;
  readonly #table: WorkerTable;
  readonly #members: Members;
  readonly #policyState: unknown;
  readonly #queue: FairQueue<Call>;
  readonly #throughput = new Throughput();
  readonly #budget = new RetryBudget();
  readonly #tally = new Tally();
  #state: "running" | "draining" | "closed" = "running";
  #pumping = false;
  #cancelLook: (() => void) | undefined;
  #joined: Promise<void> = Promise.resolve();

  /** Fails with OL_BALANCER_BAD_OPTION. */
  static create(options: DispatcherOptions): Dispatcher {
    const dispatcher = new Dispatcher(resolveOptions(options));
    dispatcher.#joined = dispatcher.#members.start();
    return dispatcher;
  }

  private constructor(options: ResolvedOptions) {
    const { clock, logger, thresholds, maxConn } = options;
    this.#options = options;
    this.#policyState = options.policy.initial();
    this.#queue = new FairQueue(options.maxConnPerFunction);
    this.#table = new WorkerTable({
      clock,
      logger,
      thresholds,
      mostPerSlot: 2 * thresholds.high,
      most: maxConn,
      changed: () => this.#pump(),
      stale: (worker) => this.#members.askSoon(worker),
    });
    this.#members = new Members(this.#table, options);
  }

  /**
   * A place for the call, at once or after a time in the queue. Fails with OL_BALANCER_QUEUE_FULL, OL_BALANCER_FUNCTION_BUSY,
   * OL_BALANCER_NO_WORKER, OL_BALANCER_QUEUE_TIMEOUT or OL_BALANCER_DRAINING, each with `details.retryAfterSec`, and with the
   * signal's reason.
   */
  acquire(request: CallRequest, signal: AbortSignal): Promise<Lease> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason as Error);
      const leave = this.enter(request, { placed: resolve, refused: reject });
      if (leave !== undefined) this.#leaveWith(signal, leave, reject);
    });
  }

  /**
   * As `acquire`, at once: the sink hears before this returns, or later if the call has to wait; then what is returned takes it
   * out of the queue (true), unless it waits no longer.
   */
  enter(request: CallRequest, sink: CallSink): (() => boolean) | undefined {
    this.#tally.accepted += 1;
    const { clock, queueTimeoutMs } = this.#options;
    const call = new Call(request, clock.nowMs(), queueTimeoutMs, sink);
    if (this.#state !== "running") {
      this.#tell(call, drainingError());
      return undefined;
    }
    this.#budget.enter();
    return this.#seek(call, false) ? () => this.#leave(call) : undefined;
  }

  /** Settles once each source of workers has told whom it knows of at the start; a name server may take its time. */
  get joined(): Promise<void> {
    return this.#joined;
  }

  snapshot(): DispatcherSnapshot {
    const { eligible, panic, limit, workers } = this.#table;
    return {
      policy: this.#options.policy.name,
      draining: this.#state !== "running",
      panic,
      eligible: eligible.length,
      live: this.#budget.live,
      retrying: this.#budget.retrying,
      waiting: this.#queue.size,
      limit,
      mostWaiting: this.#mostWaiting,
      calls: this.#tally.snapshot(),
      workers: [...workers.values()].map(workerSnapshot),
    };
  }

  /** Takes no new calls; those that wait or run go on. Idempotent. */
  drain(): void {
    if (this.#state === "running") this.#state = "draining";
  }

  /** Refuses what waits, and asks workers nothing more. Calls that have a worker go on, and report in vain. Idempotent. */
  async close(): Promise<void> {
    if (this.#state !== "closed") {
      this.#state = "closed";
      this.#cancelLook?.();
      for (const call of this.#queue.takeAll()) this.#refuse(call, drainingError());
      this.#table.close();
    }
    await this.#members.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  get retriesIdempotent(): boolean {
    return this.#options.retryIdempotent;
  }

  answered(worker: Worker, report: ReplyReport): void {
    this.#table.answered(worker, report);
  }

  failed(worker: Worker, reason: CallFailure): void {
    this.#table.failed(worker, reason);
  }

  ended(call: Call, worker: Worker): void {
    this.#giveBack(call, worker);
    this.#over(call);
    this.#pump();
  }

  again(call: Call, worker: Worker, signal: AbortSignal): Promise<Lease | undefined> {
    call.tried.add(worker.id);
    this.#giveBack(call, worker);
    if (!this.#mayRetry(call)) {
      this.#over(call);
      this.#pump();
      return Promise.resolve(undefined);
    }
    call.retries += 1;
    this.#tally.retried += 1;
    return new Promise((resolve, reject) => {
      call.sink = { placed: resolve, refused: reject };
      if (this.#seek(call, true)) this.#leaveWith(signal, () => this.#leave(call), reject);
      this.#pump();
    });
  }

  /** Whether there is a worker for another try, and the budget for it. */
  #mayRetry(call: Call): boolean {
    if (call.retries >= MOST_RETRIES || this.#state === "closed") return false;
    if (this.#options.clock.nowMs() >= call.deadlineMs) return false;
    if (this.#table.eligible.every(({ id }) => call.tried.has(id))) return false;
    // A call that has been granted one already counts until it is over.
    if (call.retries > 0 || this.#budget.take()) return true;
    this.#tally.retriesRefused += 1;
    return false;
  }

  /** Places the call, or has it wait, or refuses it. Whether it waits. */
  #seek(call: Call, first: boolean): boolean {
    if (this.#table.eligible.length === 0) {
      this.#refuse(call, noWorkerError(this.#table.workers.size));
      return false;
    }
    if (this.#table.hasRoom && (first || this.#queue.mayPass(call.name)) && this.#place(call)) return false;
    const refusal = first ? undefined : this.#refusalOf(call);
    if (refusal !== undefined) {
      this.#refuse(call, refusal);
      return false;
    }
    this.#wait(call, first);
    return true;
  }

  #wait(call: Call, first: boolean): void {
    const { clock } = this.#options;
    this.#tally.waited += 1;
    this.#queue.add(call, first);
    call.stopWaiting = clock.after(Math.max(call.queueDeadlineMs - clock.nowMs(), 0), () => {
      if (this.#queue.remove(call)) this.#refuse(call, this.#timeoutError(call, this.#retryAfterSec()));
    });
    this.#lookLater();
  }

  /** Why the call may not wait; undefined if it may. */
  #refusalOf(call: Call): OlError | undefined {
    const own = this.#queue.counts(call.name).waiting;
    const limit = queueLimit({ own, all: this.#queue.size, most: this.#mostWaiting });
    if (limit !== undefined) return this.#fullError(call, limit);
    const nowMs = this.#options.clock.nowMs();
    if (call.deadlineMs === Number.POSITIVE_INFINITY) return undefined;
    const ahead = this.#queue.ahead(call.name);
    const waitMs = expectedWaitMs({ ahead, perMs: this.#throughput.perMs(nowMs) });
    const runMs = this.#table.catalogue.get(call.name)?.runMs ?? 0;
    // Its place is of more use to a call that will have its reply in time.
    return nowMs + waitMs + runMs > call.deadlineMs
      ? this.#timeoutError(call, this.#retryAfterSec())
      : undefined;
  }

  /** Hands places to calls that wait, as long as there are both. */
  #pump(): void {
    // What it sets off may come back here.
    if (this.#pumping) return;
    this.#pumping = true;
    try {
      while (this.#queue.size > 0 && this.#table.hasRoom) {
        const call = this.#queue.take();
        if (call === undefined) return;
        call.stopWaiting();
        // Its timer may be late.
        if (this.#options.clock.nowMs() >= call.queueDeadlineMs)
          this.#refuse(call, this.#timeoutError(call, this.#retryAfterSec()));
        else if (!this.#place(call)) this.#refuse(call, noWorkerError(this.#table.workers.size));
      }
    } finally {
      this.#pumping = false;
    }
    this.#lookLater();
  }

  /** Gives the call a worker. False if the policy finds none. */
  #place(call: Call): boolean {
    const { policy, clock, thresholds } = this.#options;
    const facts = this.#table.catalogue.get(call.name);
    const nowMs = clock.nowMs();
    const worker = policy.choose(
      { name: call.name, key: facts?.key ?? call.name, facts, tried: call.tried },
      { workers: this.#table.eligible, thresholds, nowMs },
      this.#policyState,
    ) as Worker | undefined;
    if (worker === undefined) return false;
    worker.begin();
    this.#queue.began(call.name);
    this.#tally.placed += 1;
    const limitMs = (facts?.limitMs ?? UNKNOWN_LIMIT_MS) + worker.waitMs + MARGIN_MS;
    call.sink.placed(new HeldLease(this, call, worker, Math.min(limitMs, call.deadlineMs - nowMs)));
    return true;
  }

  #giveBack(call: Call, worker: Worker): void {
    worker.end();
    this.#queue.ended(call.name);
    this.#throughput.note(this.#options.clock.nowMs());
  }

  /** The call's client is gone. Whether it waited. */
  #leave(call: Call): boolean {
    if (!this.#queue.remove(call)) return false;
    call.stopWaiting();
    this.#tally.left += 1;
    this.#over(call);
    return true;
  }

  #leaveWith(signal: AbortSignal, leave: () => boolean, reject: (reason: unknown) => void): void {
    signal.addEventListener("abort", () => leave() && reject(signal.reason), { once: true });
  }

  #refuse(call: Call, error: OlError): void {
    call.stopWaiting();
    this.#over(call);
    this.#tell(call, error);
  }

  #tell(call: Call, error: OlError): void {
    this.#tally.countRefused(error.code);
    call.sink.refused(error);
  }

  #over(call: Call): void {
    this.#budget.leave(call.retries > 0);
  }

  get #mostWaiting(): number {
    return Math.floor(this.#options.queuePerSlot * this.#table.slots);
  }

  /** When the queue will have gone, as far as that is to be said. */
  #retryAfterSec(): number {
    const perMs = this.#throughput.perMs(this.#options.clock.nowMs());
    const seconds = Math.ceil(expectedWaitMs({ ahead: this.#queue.size, perMs }) / 1000);
    return Math.min(Math.max(seconds, 1), LONGEST_RETRY_AFTER_SEC);
  }

  #fullError({ name }: Call, limit: "all" | "function"): OlError {
    const details = { retryAfterSec: this.#retryAfterSec() };
    return limit === "all"
      ? balancerError("OL_BALANCER_QUEUE_FULL", "too many calls are waiting for a worker already", {
          details,
        })
      : balancerError("OL_BALANCER_FUNCTION_BUSY", `too many calls of ${name} are waiting already`, {
          details,
        });
  }

  #timeoutError({ name }: Call, retryAfterSec: number): OlError {
    return balancerError("OL_BALANCER_QUEUE_TIMEOUT", `no worker has room for ${name} in time`, {
      details: { retryAfterSec },
    });
  }

  #lookLater(): void {
    if (this.#cancelLook !== undefined || this.#queue.size === 0 || !this.#table.ramping) return;
    this.#cancelLook = this.#options.clock.after(RAMP_LOOK_MS, () => {
      this.#cancelLook = undefined;
      this.#pump();
    });
  }
}

const noWorkerError = (known: number): OlError =>
  balancerError(
    "OL_BALANCER_NO_WORKER",
    known === 0 ? "there is no worker" : `none of the ${known} workers takes calls at the moment`,
    { details: { retryAfterSec: 1 } },
  );

const drainingError = (): OlError =>
  balancerError("OL_BALANCER_DRAINING", "this balancer is shutting down; it takes no new calls", {
    details: { retryAfterSec: 1 },
  });
