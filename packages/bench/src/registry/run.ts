import { CleanupStack } from "@ol/common";

import { describeLoad, describeMachine } from "../machine.ts";
import { realPython } from "../python.ts";
import type { Results } from "../results.ts";
import { measurePulls } from "./pulls.ts";
import { type ForeignPrograms, startStores } from "./stores.ts";
import { measureTransfers, type Rounds } from "./transfers.ts";

/** What is compared, and how often. */
export interface RegistryBenchOptions extends Rounds {
  readonly pulls: number;
  readonly programs: ForeignPrograms;
  /** Told what begins. */
  readonly progress: (what: string) => void;
}

export const DEFAULT_ROUNDS: Rounds & { readonly pulls: number } = {
  small: 400,
  large: 12,
  warmup: 40,
  pulls: 30,
};
export const QUICK_ROUNDS: Rounds & { readonly pulls: number } = { small: 16, large: 1, warmup: 2, pulls: 2 };
const PULL_WARMUP = 3;

/** Our registry beside other S3 servers: objects put and got over HTTP, and first calls of a worker that has its code there. */
export const runRegistry = async (options: RegistryBenchOptions): Promise<Results> => {
  const { programs, progress, pulls } = options;
  const cleanup = new CleanupStack();
  try {
    const python = await realPython();
    const busy = describeLoad();
    const { stores, notes } = await startStores(programs, cleanup);
    const { rows, aims } = await measureTransfers(stores, options, progress);
    progress("first calls");
    const pulled = await measurePulls(stores, { python, rounds: pulls, warmup: PULL_WARMUP }, cleanup);
    return {
      machine: describeMachine(python),
      rows: [...rows, ...pulled],
      aims,
      notes: [...notes, ...busy],
    };
  } finally {
    await cleanup.run();
  }
};
