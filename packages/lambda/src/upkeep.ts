import type { Scaling } from "./autoscaler.ts";
import type { CodeKeeper } from "./code-keeper.ts";
import type { CodeVersion } from "./code-state.ts";
import type { Fleet } from "./fleet.ts";
import type { FunctionHost } from "./function-host.ts";
import type { Growth } from "./growth.ts";
import type { Profile } from "./profile.ts";
import type { SpareSandboxes } from "./spare-sandboxes.ts";
import type { Trial } from "./trial.ts";

/** The function that is looked after. */
export interface UpkeepOwner {
  readonly fleet: Fleet;
  readonly keeper: Pick<CodeKeeper, "current" | "candidate" | "fresh">;
  /** Calls that wait. */
  readonly queued: number;
  /** When it was last called, as performance.now() counts. */
  readonly usedMs: number;
  profileOf(version: CodeVersion): Profile;
}

interface Parts {
  readonly scaling: Scaling;
  readonly growth: Growth;
  readonly trial: Trial;
  readonly spare: SpareSandboxes;
}

/** What is looked after in one function now and then, whether it is called or not. */
export class Upkeep {
  readonly #owner: UpkeepOwner;
  readonly #host: FunctionHost;
  readonly #parts: Parts;

  constructor(owner: UpkeepOwner, host: FunctionHost, parts: Parts) {
    this.#owner = owner;
    this.#host = host;
    this.#parts = parts;
  }

  /** Ends what has been idle for long; whether the function itself may be forgotten. */
  sweep(nowMs: number): boolean {
    const { fleet, keeper } = this.#owner;
    const { trial, spare } = this.#parts;
    const { current } = keeper;
    const min = current === undefined ? 0 : this.#owner.profileOf(current).minInstances;
    if (min > 0) keeper.fresh(nowMs);
    this.#endIdle(nowMs, min);
    this.#foresee(nowMs);
    spare.keepWarm();
    trial.look(nowMs);
    spare.releaseWithheld();
    const { queued, usedMs } = this.#owner;
    const { idleFunctionMs } = this.#host.options;
    return min === 0 && fleet.size === 0 && queued === 0 && nowMs - usedMs >= idleFunctionMs;
  }

  #endIdle(nowMs: number, min: number): void {
    const { idleSandboxMs, surplusSandboxMs } = this.#host.options;
    const { fleet, keeper } = this.#owner;
    const { current } = keeper;
    const idle = fleet.idleByAge();
    const surplus = this.#parts.scaling.surplus({
      idleMs: idle.map(({ usedMs }) => nowMs - usedMs),
      live: current === undefined ? 0 : fleet.live(current),
      min,
      surplusMs: surplusSandboxMs,
      lastMs: idleSandboxMs,
      nowMs,
    });
    for (const instance of idle.slice(0, surplus)) instance.destroy();
    for (const instance of fleet)
      if (instance.state === "empty" && nowMs - instance.usedMs >= idleSandboxMs) instance.destroy();
  }

  /** What the autoscaler wants before there is a call; while new code is tried, that is enough to make. */
  #foresee(nowMs: number): void {
    const { current, candidate } = this.#owner.keeper;
    if (current === undefined || candidate !== undefined || !this.#host.running) return;
    this.#parts.growth.foresee(current, this.#owner.profileOf(current), nowMs);
  }
}
