import { isOlError } from "@ol/common";

import type { CodeKeeper } from "./code-keeper.ts";
import type { CodeVersion } from "./code-state.ts";
import type { Fleet } from "./fleet.ts";
import type { Profile } from "./profile.ts";

/** For so long calls wait for new code that no sandbox has loaded yet, rather than getting a sandbox of the old. */
const PATIENCE_MS = 2_000;
/** A sandbox of new code that could not be had, or ended before it was of use, is followed by another one after this time. */
const RETRY_MS = 1_000;

/** What a trial is about and does. */
export interface TrialHost {
  readonly keeper: CodeKeeper;
  readonly fleet: Fleet;
  profileOf(version: CodeVersion): Profile;
  /** Starts one more instance of the version. */
  startOne(version: CodeVersion): void;
  /** The candidate is the current version from now on. */
  promoted(): void;
  /** Calls wait for the candidate no longer. */
  pump(nowMs: number): void;
}

/**
 * New code beside old code that works: as many sandboxes of the new are started as are to be kept warm, one at least.
 * Once they have loaded it, the calls go there; if they cannot, they never did.
 */
export class Trial {
  readonly #host: TrialHost;
  #version: CodeVersion | undefined;
  #sinceMs = 0;
  /** No sandbox is started before. */
  #retryMs = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(host: TrialHost) {
    this.#host = host;
  }

  /** Sees to it that the candidate is being tried, if there is one. Cheap if it is. */
  look(nowMs: number): void {
    const { keeper, fleet } = this.#host;
    const { candidate } = keeper;
    if (candidate === undefined) return;
    if (candidate !== this.#version) {
      this.#version = candidate;
      this.#sinceMs = nowMs;
      this.#retryMs = nowMs;
    }
    if (nowMs < this.#retryMs) return;
    // Counted anew each time: starting one may take a sandbox away from the function, which then looks here as well.
    for (let tries = this.#wanted(candidate); tries > 0; tries -= 1) {
      if (keeper.candidate !== candidate || fleet.live(candidate) >= this.#wanted(candidate)) return;
      this.#host.startOne(candidate);
    }
  }

  /**
   * Whether calls wait for the candidate: because the current code is older than it may be, or no sandbox of it is there to
   * take them.
   */
  holds(current: CodeVersion, nowMs: number): boolean {
    const { keeper, fleet } = this.#host;
    if (keeper.candidate === undefined || keeper.candidate !== this.#version) return false;
    const leftMs = this.#sinceMs + PATIENCE_MS - nowMs;
    if (leftMs <= 0 || !(keeper.stale(nowMs) || fleet.live(current) === 0)) return false;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#host.pump(performance.now());
    }, leftMs).unref();
    return true;
  }

  /** Nobody is to hear of it any more. */
  stop(): void {
    clearTimeout(this.#timer);
  }

  /** A sandbox of the candidate has loaded the code. */
  loaded(version: CodeVersion): void {
    if (version !== this.#host.keeper.candidate) return;
    if (this.#host.fleet.loaded(version) >= this.#wanted(version)) this.#promote();
  }

  /**
   * A sandbox of the candidate could not be had. If that was for want of memory perhaps, those that there are must do; if it is
   * the code that asks for what cannot be had, it is as good as broken.
   */
  startFailed(version: CodeVersion, error: unknown, nowMs: number): void {
    const { keeper, fleet } = this.#host;
    if (version !== keeper.candidate) return;
    this.#retryMs = nowMs + RETRY_MS;
    if (fleet.loaded(version) > 0) this.#promote();
    else if (isOlError(error) && error.causedBy === "user") keeper.importFailed(version, error);
  }

  /** A sandbox of the candidate ended. */
  lost(version: CodeVersion, nowMs: number): void {
    if (version === this.#host.keeper.candidate) this.#retryMs = nowMs + RETRY_MS;
  }

  #wanted(version: CodeVersion): number {
    return Math.max(this.#host.profileOf(version).minInstances, 1);
  }

  #promote(): void {
    this.#host.keeper.promote();
    this.#host.promoted();
  }
}
