import type { CodeKeeper } from "./code-keeper.ts";
import type { CodeVersion } from "./code-state.ts";
import type { Fleet } from "./fleet.ts";
import type { FunctionHost } from "./function-host.ts";
import type { Instance } from "./instance.ts";
import type { Profile } from "./profile.ts";

/** The function whose sandboxes they are. */
export interface SpareOwner {
  readonly fleet: Fleet;
  readonly keeper: Pick<CodeKeeper, "current" | "candidate">;
  /** Calls that wait. */
  readonly queued: number;
  /** Whether somebody waits to hear what its code is. */
  readonly asked: boolean;
  profileOf(version: CodeVersion): Profile;
  /** Starts one more instance. */
  startOne(version: CodeVersion): void;
}

/** Which of one function's idle sandboxes the pool may have, and which are to be there before they are called. */
export class SpareSandboxes {
  readonly #owner: SpareOwner;
  readonly #host: FunctionHost;
  /** Whether an instance is idle that the pool may not have yet. */
  #withholds = false;

  constructor(owner: SpareOwner, host: FunctionHost) {
    this.#owner = owner;
    this.#host = host;
  }

  /**
   * If it is idle, the pool may have its sandbox, unless it is one of those to be kept. While calls wait for a slot, or somebody
   * for what its code is, it is withheld for a moment: functions would take each other's sandboxes away before they are of use
   * to anybody, without end.
   */
  release(instance: Instance): void {
    const { version, state } = instance;
    const { fleet, queued, asked } = this.#owner;
    const needed = queued > 0 || (asked && instance.loading);
    if (state === "idle" && needed && !this.#host.isDueElsewhere(instance)) {
      this.#withholds = true;
      return;
    }
    const min = this.#owner.profileOf(version).minInstances;
    if (min === 0 || fleet.kept(version) > min) instance.release();
  }

  /** What was withheld goes, as far as nothing speaks against it any more. */
  releaseWithheld(): void {
    if (!this.#withholds) return;
    this.#withholds = false;
    for (const instance of this.#owner.fleet) this.release(instance);
  }

  /** Starts what `min_instances` asks for, as far as there is memory. */
  keepWarm(): void {
    const { fleet, keeper } = this.#owner;
    const { current, candidate } = keeper;
    if (current === undefined || candidate !== undefined || !this.#host.running) return;
    const { minInstances, spec } = this.#owner.profileOf(current);
    // Counted anew each time: starting one may end another.
    for (let tries = minInstances; tries > 0; tries -= 1) {
      if (keeper.current !== current || fleet.live(current) >= minInstances) return;
      if (!this.#host.options.pool.hasRoom(spec.limits.memoryMb)) return;
      this.#owner.startOne(current);
    }
  }
}
