import { Worker } from "node:worker_threads";

import { benchError } from "../errors.ts";
import type { VirtualRunOptions, VirtualRun } from "./virtual-run.ts";

/** What a thread is told, and what it says. */
export interface SweepJob {
  readonly at: number;
  readonly options: VirtualRunOptions;
}
export type SweepAnswer =
  | { readonly at: number; readonly result: VirtualRun }
  | { readonly at: number; readonly failed: string };

/** The program of a thread. It is always the built one: Node 20 can start no thread from TypeScript. */
const PROGRAM = new URL("../../dist/virtual/sweep-thread.js", import.meta.url);

/** Without the options of this process: with `--conditions` or `--eval` among them a thread finds other code, or none. */
const startThread = (): Worker => new Worker(PROGRAM, { execArgv: [] });

/**
 * Many runs in virtual time, so many at once, each on a thread of its own: the results in the order of the runs, and the same whatever the number
 * of threads. `over` hears of each that is over. Fails with OL_BENCH_SIMULATION_FAILED, and ends the others.
 */
export const sweep = async (
  runs: readonly VirtualRunOptions[],
  threads: number,
  over: (at: number) => void = () => undefined,
): Promise<readonly VirtualRun[]> => {
  const results: VirtualRun[] = [];
  const jobs = runs.map((options, at): SweepJob => ({ at, options }));
  const workers = Array.from({ length: Math.min(threads, runs.length) }, startThread);
  try {
    await Promise.all(
      workers.map((worker) =>
        work(worker, jobs, ({ at, result }) => {
          results[at] = result;
          over(at);
        }),
      ),
    );
    return results;
  } finally {
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
};

/** Has a thread do what there is to do, one after the other, until nothing is left. */
const work = (
  worker: Worker,
  jobs: SweepJob[],
  done: (answer: { readonly at: number; readonly result: VirtualRun }) => void,
): Promise<void> =>
  new Promise((resolve, reject) => {
    const fail = (why: string, cause?: unknown): void =>
      reject(benchError("OL_BENCH_SIMULATION_FAILED", `a run in virtual time failed: ${why}`, { cause }));
    const next = (): void => {
      const job = jobs.shift();
      if (job === undefined) resolve();
      else worker.postMessage(job, []);
    };
    worker.on("message", (answer: SweepAnswer) => {
      if ("failed" in answer) return fail(answer.failed);
      done(answer);
      next();
    });
    worker.on("error", (error) => fail(error.message, error));
    worker.on("exit", (code) => fail(`its thread ended with ${code}`));
    next();
  });
