import type { Call } from "./call.ts";
import type { CallFailure, Lease, ReplyReport } from "./lease.ts";
import type { Worker } from "./workers/worker.ts";

/** What leases need of the dispatcher. */
export interface LeaseOwner {
  answered(worker: Worker, report: ReplyReport): void;
  failed(worker: Worker, reason: CallFailure): void;
  /** The call has given its worker back, and is over. */
  ended(call: Call, worker: Worker): void;
  /** The call has given its worker back and wants another; undefined, and the call is over, if there is none for it. */
  again(call: Call, worker: Worker, signal: AbortSignal): Promise<Lease | undefined>;
  /** Whether GET and HEAD go to another worker also if they may have begun. */
  readonly retriesIdempotent: boolean;
}

/** held: the call has the worker · over: it has given it back. */
type State = "held" | "over";

/** One call's place on one worker. */
export class HeldLease implements Lease {
  readonly worker: Worker;
  readonly firstByteMs: number;
  readonly #call: Call;
  readonly #owner: LeaseOwner;
  #state: State = "held";
  #answered = false;
  #failed = false;
  /** Whether the call can be sent elsewhere without being run twice. */
  #repeatable = false;

  constructor(owner: LeaseOwner, call: Call, worker: Worker, firstByteMs: number) {
    this.#owner = owner;
    this.#call = call;
    this.worker = worker;
    this.firstByteMs = firstByteMs;
  }

  answered(report: ReplyReport): void {
    if (this.#state === "over" || this.#answered) return;
    this.#answered = true;
    this.#owner.answered(this.worker, report);
  }

  failed(reason: CallFailure, notStarted: boolean): void {
    if (this.#state === "over" || this.#failed) return;
    this.#failed = true;
    // What fails after the reply's head is the lambda's doing, or the client's; and who says "not started" has answered.
    if (!this.#answered) this.#owner.failed(this.worker, reason);
    const harmless =
      this.#owner.retriesIdempotent &&
      this.#call.request.idempotent &&
      !this.#answered &&
      reason !== "timeout";
    this.#repeatable = notStarted || harmless;
  }

  async again(signal: AbortSignal): Promise<Lease | undefined> {
    if (!this.#repeatable || signal.aborted) this.release();
    signal.throwIfAborted();
    if (this.#state === "over") return undefined;
    this.#state = "over";
    return this.#owner.again(this.#call, this.worker, signal);
  }

  release(): void {
    if (this.#state === "over") return;
    this.#state = "over";
    this.#owner.ended(this.#call, this.worker);
  }
}
