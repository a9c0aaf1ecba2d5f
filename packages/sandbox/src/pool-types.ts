import type { Logger, OlError } from "@ol/common";

import type {
  EngineStats,
  EngineZygote,
  SandboxEngine,
  SandboxExit,
  SandboxSpec,
  ZygoteSpec,
} from "./engine.ts";
import type { Evictor } from "./evictor.ts";
import type { ConnectionTimers } from "./frames/connection-options.ts";
import type { Sandbox } from "./sandbox.ts";

/** What a pool is made from. The engine stays its maker's, who closes it after the pool. */
export interface PoolOptions {
  /** What makes and ends its sandboxes. */
  readonly engine: SandboxEngine;
  /**
   * Most memory promised to sandboxes and zygotes at any time, in MB. At the limit: who asks for one waits, and the evictor is
   * asked what can go; what is larger than all of it fails with OL_SANDBOX_TOO_LARGE.
   */
  readonly memoryMb: number;
  /** Where is logged what people should know; default: nowhere. */
  readonly logger?: Logger;
  /** Longest time that making one sandbox may take, in ms; default 10,000. At the limit: OL_SANDBOX_CREATE_FAILED. */
  readonly createMs?: number;
  /** Patience with guests; default: DEFAULT_CONNECTION_TIMERS. */
  readonly timers?: Partial<ConnectionTimers>;
  /** Says what is destroyed when memory is short; default `makeEvictor()`. */
  readonly evictor?: Evictor;
  /** Whether a paused sandbox is promised only what it holds; default true. */
  readonly downsizePaused?: boolean;
  /**
   * Longest time that a paused sandbox may wait for memory when it is called, in ms; default 10,000. At the limit: the call fails
   * with OL_SANDBOX_NO_MEMORY, and the sandbox stays paused.
   */
  readonly resumeMs?: number;
}

/** How long a caller of `acquire` waits. */
export interface AcquireOptions {
  /** Ends the waiting and the making, with OL_SANDBOX_CANCELLED; default: nobody does. */
  readonly signal?: AbortSignal;
  /** Longest wait for memory, in ms; default 10,000. At the limit: OL_SANDBOX_NO_MEMORY. */
  readonly deadlineMs?: number;
}

/** What happens in a pool. Of each sandbox the first event is `create` and the last `destroy`. */
export interface PoolEvents {
  /** Made; its code is being loaded. */
  create: [sandbox: Sandbox];
  /** One that was asked for was not made; `acquire` has failed with `error`. */
  createFailed: [spec: SandboxSpec, error: OlError];
  /** Its code is loaded. */
  ready: [sandbox: Sandbox];
  /** An EVENT of the guest (log, memory, retire). Only information: the guest is not trusted. */
  guest: [sandbox: Sandbox, name: string, body: Buffer];
  /** Its processes are stopped. */
  paused: [sandbox: Sandbox];
  /** Its processes run again. */
  resumed: [sandbox: Sandbox];
  /** It is about to be destroyed because its memory is needed; `destroying` follows at once. */
  evict: [sandbox: Sandbox];
  /** It takes no more calls. */
  destroying: [sandbox: Sandbox];
  /** Nothing of it is left, and its memory is free again. */
  destroy: [sandbox: Sandbox];
  /** A zygote has imported its modules. */
  zygote: [zygote: EngineZygote, spec: ZygoteSpec];
  /** A zygote that was asked for was not made; `createZygote` has failed with `error`. */
  zygoteFailed: [id: string, spec: ZygoteSpec, error: OlError];
  /** A zygote is about to be ended because its memory is needed. */
  evictZygote: [id: string];
  /** A zygote is gone, and its memory free again. What was forked from it lives on. */
  zygoteGone: [id: string, exit: SandboxExit];
  /** The engine's host process ended; every sandbox is being destroyed. */
  lost: [];
}

/** A snapshot of a pool's numbers. */
export interface PoolStats {
  /** The budget. */
  readonly memoryMb: number;
  /** Memory promised to sandboxes and zygotes that exist, are being made or being destroyed. */
  readonly promisedMb: number;
  /** Sandboxes that exist, those being destroyed included. */
  readonly sandboxes: number;
  /** Sandboxes being made. */
  readonly creating: number;
  /** Zygotes that exist. */
  readonly zygotes: number;
  /** Callers that wait for memory. */
  readonly waiting: number;
  /** Sandboxes made so far. */
  readonly created: number;
  /** Those of them that are gone. */
  readonly destroyed: number;
  /** Of those destroyed, the ones that went because their memory was needed. */
  readonly evicted: number;
  /** Of its engine. */
  readonly engine: EngineStats;
}
