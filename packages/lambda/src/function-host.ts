import type { Instance } from "./instance.ts";
import type { LambdaFunction } from "./lambda-function.ts";
import type { ResolvedOptions } from "./options.ts";
import type { Slots } from "./slots.ts";
import type { CallCounter } from "./stats.ts";

/** What a function needs of the manager. */
export interface FunctionHost {
  readonly options: ResolvedOptions;
  readonly slots: Slots;
  /** Calls waiting over all functions. */
  queued: number;
  /** Over all functions. */
  readonly counter: CallCounter;
  /** The function has no code any more: it is to be found no longer. */
  forget(fn: LambdaFunction): void;
  destroying(done: Promise<void>): void;
  /** A call ended or was dropped. */
  callOver(): void;
  /** Whether an instance that has become idle should give its memory to a function that waits for some. */
  isMemoryWanted(fn: LambdaFunction, instance: Instance): boolean;
  /** Whether one more sandbox of that size would get its memory without a busy one having to go. */
  hasRoom(memoryMb: number): boolean;
}
