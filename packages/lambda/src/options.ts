import type { LambdaLimits, Logger, NetworkClass } from "@ol/common";
import type { SandboxPool } from "@ol/sandbox";

import type { Autoscaler } from "./autoscaler.ts";
import type { CodeSource } from "./code-source.ts";
import type { PackageSource } from "./packages/package-source.ts";
import type { TraceRecord } from "./trace.ts";
import type { ZygoteKeeper } from "./zygotes/zygote-keeper.ts";

/** What a LambdaManager is made from. */
export interface LambdaManagerOptions {
  /** Where sandboxes come from. It stays its maker's, who closes it after the manager. */
  readonly pool: SandboxPool;
  /** Where code comes from. */
  readonly source: CodeSource;
  /** Where the packages come from that lambdas name. Default: nowhere, such lambdas are refused. */
  readonly packages?: PackageSource;
  /** Forks sandboxes from zygotes that have their packages. Default: nothing does, each imports its own. */
  readonly zygotes?: ZygoteKeeper;
  /** Hears of every call that a sandbox had. Default: nobody does. */
  readonly trace?: (record: TraceRecord) => void;
  /**
   * How long a call waits while its lambda's packages are being installed. Default 30,000. At the limit: OL_LAMBDA_INSTALLING; the
   * installation goes on.
   */
  readonly installWaitMs?: number;
  /** What a lambda may use unless its ol.yaml says otherwise. */
  readonly limits: LambdaLimits;
  /** The network of lambdas whose ol.yaml names none. */
  readonly network: NetworkClass;
  /** Calls run at once, over all functions. At the limit: calls wait in their function's queue; functions take turns. */
  readonly slots: number;
  /** Instances a function may have, unless its ol.yaml says it. Default: `slots`, more would never be busy. At the limit: its calls wait. */
  readonly maxInstances?: number;
  /**
   * Makes what says how many sandboxes a function has, one for each function, by the function's name. Default
   * `makeAutoscaler`.
   */
  readonly autoscaler?: (lambda: string) => Autoscaler;
  /** CPUs of this machine. Default: what node says. At the limit: quick functions get no more instances. */
  readonly cpus?: number;
  /** How long a call may wait. At the limit: OL_LAMBDA_QUEUE_TIMEOUT. */
  readonly queueTimeoutMs: number;
  /**
   * How old a function's code may be when a call starts. At the limit: the source is asked first; from half of it on it is asked
   * beside the calls.
   */
  readonly registryCacheMs: number;
  /** Calls that may wait for one function. Default 1,000. At the limit: OL_LAMBDA_QUEUE_FULL. */
  readonly maxQueuedPerFunction?: number;
  /** Calls that may wait over all functions. Default 4,000. At the limit: OL_LAMBDA_WORKER_FULL. */
  readonly maxQueued?: number;
  /**
   * Memory that replies may take which have arrived in full and are not read to the end. One takes 1.25 MiB at most: a guest sends
   * a frame and a window ahead. Default 64 MiB. At the limit: such a reply holds its sandbox until it is read.
   */
  readonly maxUnreadBytes?: number;
  /** Time without a call, 0 is no limit. Default 1,000. At the limit: the sandbox is paused. */
  readonly pauseLingerMs?: number;
  /**
   * Time without a call of a function's last sandbox; short memory takes it earlier. Default 10 minutes. At the limit: it is
   * destroyed.
   */
  readonly idleSandboxMs?: number;
  /** Time without a call of a function's other sandboxes. Default 1 minute. At the limit: they are destroyed. */
  readonly surplusSandboxMs?: number;
  /** Time without a call of a function without a sandbox. Default 10 minutes. At the limit: it is forgotten. */
  readonly idleFunctionMs?: number;
  /** Where is logged what people should know; default: nowhere. */
  readonly logger?: Logger;
}

/** The same with every default filled in. */
export type ResolvedOptions = Required<Omit<LambdaManagerOptions, "zygotes" | "trace">> &
  Pick<LambdaManagerOptions, "zygotes" | "trace">;
