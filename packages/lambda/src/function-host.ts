import type { AcquireOptions, Sandbox, SandboxSpec } from "@ol/sandbox";

import type { Instance } from "./instance.ts";
import type { LambdaFunction } from "./lambda-function.ts";
import type { ResolvedOptions } from "./options.ts";
import type { InstalledSet } from "./packages/package-source.ts";
import type { Slots } from "./slots.ts";
import type { CallCounter } from "./stats.ts";
import type { WarmLog } from "./warm-log.ts";
import type { UnreadReplies } from "./unread-replies.ts";

/** What a function needs of the manager. */
export interface FunctionHost {
  readonly options: ResolvedOptions;
  readonly slots: Slots;
  /** False once no new calls are taken. */
  readonly running: boolean;
  /** Calls waiting over all functions. */
  queued: number;
  /** Over all functions. */
  readonly counter: CallCounter;
  readonly unread: UnreadReplies;
  /** What balancers are told of changes. */
  readonly changes: WarmLog;
  /** As the pool's `acquire`, for a lambda with these packages. */
  acquire(spec: SandboxSpec, packages: InstalledSet, options: AcquireOptions): Promise<Sandbox>;
  /** The function has no code any more: it is to be found no longer. */
  forget(fn: LambdaFunction): void;
  /** The instances by the ids of their sandboxes. */
  readonly sandboxes: Map<string, Instance>;
  endsByItself(sandbox: Sandbox): void;
  destroying(done: Promise<void>): void;
  /** A call ended or was dropped, or its reply was read. */
  callOver(): void;
  /** Whether an instance that has become idle should let another function have its memory, calls of its own or not. */
  isStarving(fn: LambdaFunction, instance: Instance): boolean;
  /** Whether an instance has had its sandbox for long enough to let another function have its memory. */
  isDueElsewhere(instance: Instance): boolean;
}
