import type { NetworkClass } from "@ol/common";

import type { CodeVersion } from "./code-state.ts";
import type { Fleet } from "./fleet.ts";
import type { InstalledSet } from "./packages/package-source.ts";
import type { Profile } from "./profile.ts";
import { differs, type ReportedFunction } from "./reported.ts";
import type { WarmLog } from "./warm-log.ts";

/** What a report needs of its function. */
export interface ReportedOwner {
  readonly name: string;
  readonly keeper: { readonly current: CodeVersion | undefined };
  readonly fleet: Fleet;
  profileOf(version: CodeVersion): Profile;
}

/** Times as they were measured; undefined before that. */
export interface MeasuredTimes {
  readonly meanRunMs: number | undefined;
  readonly measuredStartMs: number | undefined;
}

/** Packages that a zygote may have. */
export interface Packaged {
  readonly key: string;
  readonly network: NetworkClass;
  readonly set: InstalledSet;
}

/** What balancers are told of one function; notes when that is no longer what they were told. */
export class FunctionReport {
  readonly #owner: ReportedOwner;
  readonly #times: MeasuredTimes;
  readonly #changes: WarmLog;
  #toldWarm = false;
  #told: ReportedFunction | undefined;

  constructor(owner: ReportedOwner, times: MeasuredTimes, changes: WarmLog) {
    this.#owner = owner;
    this.#times = times;
    this.#changes = changes;
  }

  /** Undefined while there is nothing to run. */
  get reported(): ReportedFunction | undefined {
    const { keeper, name } = this.#owner;
    if (keeper.current === undefined) return undefined;
    const { packageKey: key, timeoutMs: limitMs } = this.#owner.profileOf(keeper.current);
    const { meanRunMs: runMs, measuredStartMs: startMs } = this.#times;
    return {
      name,
      ...(key !== undefined && { key }),
      limitMs,
      ...(runMs !== undefined && { runMs: rounded(runMs) }),
      ...(startMs !== undefined && { startMs: rounded(startMs) }),
    };
  }

  /** Whether a call may find a sandbox that has its code loaded. One that is for a single call is found by none. */
  get warm(): boolean {
    const { keeper, fleet } = this.#owner;
    const { current } = keeper;
    return current !== undefined && this.#owner.profileOf(current).reuse && fleet.loaded(current) > 0;
  }

  /** Undefined for a function without packages. */
  get packaged(): Packaged | undefined {
    const { current } = this.#owner.keeper;
    if (current === undefined) return undefined;
    const { packageKey: key, spec } = this.#owner.profileOf(current);
    return key === undefined ? undefined : { key, network: spec.network, set: current.packages };
  }

  /** To be called when any of it may have changed. */
  update(): void {
    const { name } = this.#owner;
    const { reported, warm } = this;
    if (differs(this.#told, reported)) {
      this.#told = reported;
      this.#changes.note("~", name);
    }
    if (warm === this.#toldWarm) return;
    this.#toldWarm = warm;
    this.#changes.note(warm ? "+" : "-", name);
  }
}

/** To a tenth of a ms. */
const rounded = (ms: number): number => Math.round(ms * 10) / 10;
