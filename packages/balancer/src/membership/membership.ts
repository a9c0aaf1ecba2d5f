import type { WorkerAddress } from "../options.ts";

/** Where the balancer learns from which workers there are. */
export interface Membership {
  /** In a word, for messages. */
  readonly name: string;
  /** Begins to tell: all workers that it knows, each time when they are others. */
  start(tell: (workers: readonly WorkerAddress[]) => void): void;
  /** Tells nothing more. Idempotent. */
  close(): Promise<void>;
}
