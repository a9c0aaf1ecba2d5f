import type { LambdaLimits, Logger, NetworkClass } from "@ol/common";
import type { SandboxPool } from "@ol/sandbox";

import type { Autoscaler } from "./autoscaler.ts";
import type { CodeSource } from "./code-source.ts";
import type { PackageSource } from "./packages/package-source.ts";
import type { TraceRecord } from "./trace.ts";
import type { ZygoteKeeper } from "./zygotes/zygote-keeper.ts";

/** What a LambdaManager is made from. */
export interface LambdaManagerOptions {
  readonly pool: SandboxPool;
  readonly source: CodeSource;
  /** Where the packages come from that lambdas name; without it such lambdas are refused. */
  readonly packages?: PackageSource;
  /** Forks sandboxes from zygotes that have their packages; without it each imports its own. */
  readonly zygotes?: ZygoteKeeper;
  /** Hears of every call that a sandbox had. */
  readonly trace?: (record: TraceRecord) => void;
  /** How long a call waits while its lambda's packages are being installed. Default 30,000. */
  readonly installWaitMs?: number;
  /** What a lambda may use unless its ol.yaml says otherwise. */
  readonly limits: LambdaLimits;
  /** The network of lambdas whose ol.yaml names none. */
  readonly network: NetworkClass;
  /** Calls run at once, over all functions. */
  readonly slots: number;
  /** Instances a function may have. Default: `slots`, more would never be busy. */
  readonly maxInstances?: number;
  /**
   * Makes what says how many sandboxes a function has, one for each function, by the function's name. Default
   * `makeAutoscaler`.
   */
  readonly autoscaler?: (lambda: string) => Autoscaler;
  /** CPUs of this machine, which quick functions get no more instances than. Default: what node says. */
  readonly cpus?: number;
  /** How long a call may wait before it is refused. */
  readonly queueTimeoutMs: number;
  /** How old a function's code may be when a call starts. */
  readonly registryCacheMs: number;
  /** Calls that may wait for one function. Default 1,000. */
  readonly maxQueuedPerFunction?: number;
  /** Calls that may wait over all functions. Default 4,000. */
  readonly maxQueued?: number;
  /**
   * Memory that replies may take which have arrived in full and are not read to the end; beyond that such a reply holds its sandbox
   * until it is read. One takes 1.25 MiB at most: a guest sends a frame and a window ahead. Default 64 MiB.
   */
  readonly maxUnreadBytes?: number;
  /** After this time without a call a sandbox is paused; 0 is never. Default 1,000. */
  readonly pauseLingerMs?: number;
  /**
   * After this time without a call a function's last sandbox is destroyed. Default 10 minutes; short memory takes it
   * earlier.
   */
  readonly idleSandboxMs?: number;
  /** After this time without a call a function's other sandboxes are. Default 1 minute. */
  readonly surplusSandboxMs?: number;
  /** After this time without a call a function without a sandbox is forgotten. Default 10 minutes. */
  readonly idleFunctionMs?: number;
  readonly logger?: Logger;
}

/** The same with every default filled in. */
export type ResolvedOptions = Required<Omit<LambdaManagerOptions, "zygotes" | "trace">> &
  Pick<LambdaManagerOptions, "zygotes" | "trace">;
