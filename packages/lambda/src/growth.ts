import type { Scaling } from "./autoscaler.ts";
import type { CodeVersion } from "./code-state.ts";
import type { Fleet } from "./fleet.ts";
import type { FunctionHost } from "./function-host.ts";
import { nextMean, nextTail, type RunTimes, stuckAfterMs } from "./policy.ts";
import type { Profile } from "./profile.ts";

/**
 * Guess at a cold start before one was measured; only decides when a second sandbox is worth it. A first one that takes longer
 * is believed at once; a quicker one may have found a process that waited for it, and the next may find none.
 */
const FIRST_START_GUESS_MS = 10;
/** How often a function whose calls wait asks itself whether another sandbox would help. */
const GROW_CHECK_MS = 5;

/** What one function's growth is asked about and does. */
export interface Grower {
  /** Calls that wait. */
  readonly queued: number;
  /** Starts one more instance. */
  startOne(version: CodeVersion): void;
  /** Time to look at the queue again. */
  pump(nowMs: number): void;
}

/** When one function gets another sandbox: measures its run and start times and asks the policy at a timer's pace. */
export class Growth {
  readonly #host: FunctionHost;
  readonly #fleet: Fleet;
  readonly #grower: Grower;
  readonly #scaling: Scaling;
  #runs = 0;
  #meanRunMs: number | undefined;
  #tailRunMs: number | undefined;
  #starts = 0;
  #meanStartMs: number | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(host: FunctionHost, fleet: Fleet, grower: Grower, scaling: Scaling) {
    this.#host = host;
    this.#fleet = fleet;
    this.#grower = grower;
    this.#scaling = scaling;
  }

  /** Recent mean run time of a call; undefined before one was measured. */
  get meanRunMs(): number | undefined {
    return this.#meanRunMs;
  }

  /** What 19 in 20 calls need no longer than; undefined before one was measured. */
  get tailRunMs(): number | undefined {
    return this.#tailRunMs;
  }

  get meanStartMs(): number {
    return this.#meanStartMs ?? FIRST_START_GUESS_MS;
  }

  /** Undefined before one was measured. */
  get measuredStartMs(): number | undefined {
    return this.#meanStartMs;
  }

  noteRun(runMs: number): void {
    this.#meanRunMs = nextMean(this.#meanRunMs, runMs, this.#runs);
    this.#runs += 1;
    this.#tailRunMs = nextTail(this.#tailRunMs, runMs);
  }

  noteStart(startMs: number): void {
    this.#meanStartMs =
      this.#meanStartMs === undefined
        ? Math.max(startMs, FIRST_START_GUESS_MS)
        : nextMean(this.#meanStartMs, startMs, this.#starts);
    this.#starts += 1;
  }

  /** Looks whether one more would help, unless it did a moment ago: a look costs more than a quick call. */
  consider(version: CodeVersion, profile: Profile, nowMs: number): void {
    if (this.#timer !== undefined || this.#grower.queued === 0) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#grower.pump(performance.now());
    }, GROW_CHECK_MS);
    this.#grow(version, profile, nowMs);
  }

  /** Has the autoscaler say what it wants before there is a call. */
  foresee(version: CodeVersion, profile: Profile, nowMs: number): void {
    if (this.#grower.queued === 0) this.#grow(version, profile, nowMs);
  }

  /** There may be fewer instances than a moment ago: the next look at them must not wait. */
  soon(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #grow(version: CodeVersion, profile: Profile, nowMs: number): void {
    const { options, slots } = this.#host;
    const stuckMs = stuckAfterMs(this.#times(), this.meanStartMs);
    const counts = this.#fleet.count(version, nowMs, stuckMs);
    const desired = this.#scaling.desired({
      ...counts,
      queued: this.#grower.queued,
      max: profile.maxInstances,
      concurrency: profile.concurrency,
      oneShot: !profile.reuse,
      cpus: options.cpus,
      freeSlots: slots.free,
      meanRunMs: this.#meanRunMs,
      runs: this.#runs,
      meanStartMs: this.meanStartMs,
      nowMs,
    });
    // Counted anew each time: starting one may end another.
    for (let tries = desired - counts.live; tries > 0; tries -= 1) {
      const live = this.#fleet.live(version);
      if (live >= desired || !this.#mayStart(live, profile.spec.limits.memoryMb)) return;
      this.#grower.startOne(version);
    }
  }

  /** The first may wait for memory, if a call does; others stand in nobody's way. For no call nothing is evicted. */
  #mayStart(live: number, memoryMb: number): boolean {
    const { pool } = this.#host.options;
    if (this.#grower.queued > 0) return live === 0 || pool.hasRoom(memoryMb);
    const { memoryMb: totalMb, promisedMb } = pool.stats();
    return !pool.short && memoryMb <= totalMb - promisedMb;
  }

  #times(): RunTimes | undefined {
    if (this.#meanRunMs === undefined || this.#tailRunMs === undefined) return undefined;
    return { meanMs: this.#meanRunMs, tailMs: this.#tailRunMs };
  }
}
