import type { CodeVersion } from "./code-state.ts";
import type { Instance, InstanceState } from "./instance.ts";
import { mayPipeline } from "./policy.ts";

/** How many instances of the current code there are. */
export interface FleetCounts {
  readonly live: number;
  readonly starting: number;
  readonly stuck: number;
  readonly oldestRunMs: number;
}

/** One function's instances, and which of them gets the next call. */
export class Fleet {
  readonly #all: Instance[] = [];
  /** Idle ones, the one used last at the end: the others grow old and give their memory back. */
  readonly #idle: Instance[] = [];

  get size(): number {
    return this.#all.length;
  }

  [Symbol.iterator](): Iterator<Instance> {
    // A copy: what the caller does with one may remove it.
    return [...this.#all].values();
  }

  add(instance: Instance): void {
    this.#all.push(instance);
  }

  remove(instance: Instance): void {
    remove(this.#all, instance);
    remove(this.#idle, instance);
  }

  noteIdle(instance: Instance): void {
    this.#idle.push(instance);
  }

  noteNotIdle(instance: Instance): void {
    remove(this.#idle, instance);
  }

  /** The idle instance used last. */
  idle(): Instance | undefined {
    for (let last = this.#idle.at(-1); last !== undefined; last = this.#idle.at(-1)) {
      if (last.usable) return last;
      // Its sandbox has just ended; the instance will hear of that.
      this.#idle.pop();
    }
    return undefined;
  }

  /** The busy instance that may be handed one more call and has the fewest. */
  pipelined(
    version: CodeVersion,
    nowMs: number,
    meanRunMs: number | undefined,
    sinceCrashMs: number,
  ): Instance | undefined {
    let best: Instance | undefined;
    for (const instance of this.#all) {
      if (instance.state !== "busy" || instance.version !== version || !instance.usable) continue;
      const { inFlight, proven, streams } = instance;
      if (best !== undefined && best.inFlight <= inFlight) continue;
      const runningMs = instance.runningMs(nowMs);
      if (mayPipeline({ inFlight, streams, proven, runningMs, meanRunMs, sinceCrashMs })) best = instance;
    }
    return best;
  }

  /** A busy instance of an app that runs several calls at once and has room for one more: the one with the fewest. */
  shared(version: CodeVersion, concurrency: number): Instance | undefined {
    let best: Instance | undefined;
    for (const instance of this.#all) {
      if (instance.state !== "busy" || instance.version !== version || !instance.usable) continue;
      if (instance.inFlight >= (best?.inFlight ?? concurrency)) continue;
      best = instance;
    }
    return best;
  }

  /** An instance of the version that has no sandbox. */
  empty(version: CodeVersion): Instance | undefined {
    return this.#all.find((instance) => instance.state === "empty" && instance.version === version);
  }

  /** Whether the version has an instance with a sandbox, ready or on its way. */
  hasLive(version: CodeVersion): boolean {
    return this.#all.some((instance) => instance.version === version && isLive(instance.state));
  }

  /** How many sandboxes of the version have its code loaded. */
  loaded(version: CodeVersion): number {
    let count = 0;
    for (const instance of this.#all)
      if (instance.version === version && isLive(instance.state) && !instance.loading) count += 1;
    return count;
  }

  /** Instances of the version with a sandbox, ready or on its way. */
  live(version: CodeVersion): number {
    let count = 0;
    for (const instance of this.#all) if (instance.version === version && isLive(instance.state)) count += 1;
    return count;
  }

  /** Those of them that the pool may not take back. */
  kept(version: CodeVersion): number {
    let count = 0;
    for (const { state, sandbox, version: its } of this.#all)
      if (its === version && isLive(state) && sandbox?.idle !== true) count += 1;
    return count;
  }

  /** Idle instances, those idle longest first. */
  idleByAge(): Instance[] {
    return this.#all
      .filter(({ state }) => state === "idle")
      .toSorted((one, other) => one.usedMs - other.usedMs);
  }

  /** An instance whose call has run for longer than `stuckAfterMs` counts as stuck. */
  count(version: CodeVersion, nowMs: number, stuckAfterMs: number): FleetCounts {
    let live = 0;
    let starting = 0;
    let stuck = 0;
    let oldestRunMs = 0;
    for (const instance of this.#all) {
      if (instance.version !== version || !isLive(instance.state)) continue;
      live += 1;
      if (instance.loading) starting += 1;
      const runningMs = instance.runningMs(nowMs);
      if (runningMs > stuckAfterMs) stuck += 1;
      oldestRunMs = Math.max(oldestRunMs, runningMs);
    }
    return { live, starting, stuck, oldestRunMs };
  }

  /** Whether the function waits for a sandbox and has none. */
  get needy(): boolean {
    let waits = false;
    for (const { sandbox, state } of this.#all) {
      if (sandbox !== undefined) return false;
      waits ||= state === "starting";
    }
    return waits;
  }

  states(): Partial<Record<InstanceState, number>> {
    const states: Partial<Record<InstanceState, number>> = {};
    for (const { state } of this.#all) states[state] = (states[state] ?? 0) + 1;
    return states;
  }
}

const isLive = (state: InstanceState): boolean =>
  state === "starting" || state === "idle" || state === "busy";

const remove = (list: Instance[], instance: Instance): void => {
  const at = list.indexOf(instance);
  if (at >= 0) list.splice(at, 1);
};
