import type { WorkerAddress } from "../options.ts";

/** Where the balancer learns from which workers there are. */
export interface Membership {
  /** In a word, for messages. */
  readonly name: string;
  /**
   * Begins to tell: all workers that it knows, each time when they are others. Settles once it has told those that it can know of at
   * the start, or has found that it cannot. Never rejects.
   */
  start(tell: (workers: readonly WorkerAddress[]) => void): Promise<void>;
  /** Tells nothing more. Idempotent. */
  close(): Promise<void>;
}
