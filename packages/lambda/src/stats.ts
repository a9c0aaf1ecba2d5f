import type { CodeKind } from "@ol/sandbox";

import type { CodeState } from "./code-keeper.ts";
import type { InstanceState } from "./instance.ts";

/** Calls since the function was loaded (or the manager made), by how they ended. */
export interface CallCounts {
  readonly accepted: number;
  /** Replied by the lambda, errors of its own included. */
  readonly answered: number;
  /** Cut short: exit, crash, memory, time. */
  readonly cut: number;
  /** Never started: queue full, deadline, no such code. */
  readonly refused: number;
  /** Never started because the client left. */
  readonly dropped: number;
}

export interface FunctionStats {
  readonly name: string;
  readonly code: CodeState["kind"];
  /** What the code is; undefined before a sandbox has loaded it. */
  readonly kind: CodeKind | undefined;
  readonly digest: string | undefined;
  /** Why the newest code is not run, in words for its author; undefined if it is. */
  readonly fault: string | undefined;
  readonly queued: number;
  readonly running: number;
  readonly instances: Readonly<Partial<Record<InstanceState, number>>>;
  readonly meanRunMs: number | undefined;
  readonly tailRunMs: number | undefined;
  readonly meanStartMs: number;
  readonly calls: CallCounts;
}

export interface SandboxStats {
  readonly id: string;
  readonly lambda: string;
  /** Its instance's; `paused` for an idle one whose processes are stopped. */
  readonly state: InstanceState | "paused";
  readonly ageMs: number;
  readonly memoryMb: number;
}

/** A snapshot; holds no host path and no environment value. */
export interface LambdaStats {
  readonly slots: number;
  readonly running: number;
  readonly queued: number;
  readonly calls: CallCounts;
  readonly functions: readonly FunctionStats[];
  readonly sandboxes: readonly SandboxStats[];
}

/** CallCounts while they are being counted. */
export class CallCounter implements CallCounts {
  accepted = 0;
  answered = 0;
  cut = 0;
  refused = 0;
  dropped = 0;

  snapshot(): CallCounts {
    const { accepted, answered, cut, refused, dropped } = this;
    return { accepted, answered, cut, refused, dropped };
  }
}
