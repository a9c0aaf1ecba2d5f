import { type Logger, messageOf } from "@ol/common";

import { CHANNELS } from "./channels.ts";
import { desiredInstances, type ScaleSnapshot, type ShrinkSnapshot, surplusInstances } from "./policy.ts";

/**
 * Says how many sandboxes one function has. Each function has its own, made when the function is first heard of and
 * forgotten with it, so that it may remember what it saw. It decides from snapshots and `nowMs` alone: it has no clock of
 * its own, and waits for nothing.
 */
export interface Autoscaler {
  /**
   * How many instances there should be. Asked while calls wait, at most every 5 ms, and every 5 s while none waits. Less
   * than there are counts as what there are, and more than `max` as `max`. They are started as far as there is memory; while
   * no call waits, as far as it is free: nothing is evicted for them.
   */
  desired(snapshot: ScaleSnapshot): number;
  /**
   * How many idle instances to end now, those idle longest first. Asked every 5 s. Those that `min_instances` keeps are not
   * ended, whatever it says.
   */
  surplus(snapshot: ShrinkSnapshot): number;
  /** A call came. Must be quick: it comes before the call is looked at. */
  called?(nowMs: number): void;
}

const DEFAULT_AUTOSCALER: Autoscaler = { desired: desiredInstances, surplus: surplusInstances };

/** The default: `desiredInstances` and `surplusInstances`, which remember nothing. */
export const makeAutoscaler = (): Autoscaler => DEFAULT_AUTOSCALER;

/** Asks one function's autoscaler, and keeps what it says within what can be. One that fails changes nothing. */
export class Scaling {
  readonly #lambda: string;
  readonly #autoscaler: Autoscaler;
  readonly #logger: Logger;

  /** One that cannot be made is done without: then it is the default. */
  constructor(lambda: string, make: (lambda: string) => Autoscaler, logger: Logger) {
    this.#lambda = lambda;
    this.#logger = logger;
    this.#autoscaler = this.#make(make);
  }

  called(nowMs: number): void {
    try {
      this.#autoscaler.called?.(nowMs);
    } catch (error) {
      this.#failed(error);
    }
  }

  /** At least `live`, at most `max`. */
  desired(snapshot: ScaleSnapshot): number {
    const wanted = this.#ask(() => this.#autoscaler.desired(snapshot));
    const desired = wanted === undefined ? snapshot.live : bounded(wanted, snapshot.live, snapshot.max);
    const channel = CHANNELS["ol:scale:grow"];
    if (channel.hasSubscribers && (snapshot.queued > 0 || desired > snapshot.live))
      channel.publish({ lambda: this.#lambda, snapshot, desired });
    return desired;
  }

  /** At least 0, and no more than idle ones beyond `min`. */
  surplus(snapshot: ShrinkSnapshot): number {
    const { idleMs, live, min } = snapshot;
    const most = Math.min(idleMs.length, Math.max(live - min, 0));
    const wanted = this.#ask(() => this.#autoscaler.surplus(snapshot));
    const surplus = wanted === undefined ? 0 : bounded(wanted, 0, most);
    const channel = CHANNELS["ol:scale:shrink"];
    if (channel.hasSubscribers && surplus > 0) channel.publish({ lambda: this.#lambda, snapshot, surplus });
    return surplus;
  }

  #make(make: (lambda: string) => Autoscaler): Autoscaler {
    try {
      return make(this.#lambda);
    } catch (error) {
      this.#failed(error);
      return DEFAULT_AUTOSCALER;
    }
  }

  /** Undefined if it failed, or what it says is no number. */
  #ask(question: () => number): number | undefined {
    try {
      const answer = question();
      if (typeof answer === "number" && !Number.isNaN(answer)) return answer;
      throw new TypeError(`it says ${String(answer)}, which is no number`);
    } catch (error) {
      this.#failed(error);
      return undefined;
    }
  }

  #failed(error: unknown): void {
    this.#logger.error("the autoscaler failed; nothing is changed", {
      lambda: this.#lambda,
      error: messageOf(error),
    });
  }
}

const bounded = (value: number, least: number, most: number): number =>
  Math.max(least, Math.min(Math.floor(value), most));
