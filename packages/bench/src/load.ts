import { execFile } from "node:child_process";
import { promisify } from "node:util";

import { baselinePath } from "./baselines.ts";
import { benchError } from "./errors.ts";

/** What the load generator is to do. */
export interface LoadOptions {
  readonly port: number;
  readonly path: string;
  readonly connections: number;
  readonly warmupMs: number;
  readonly durationMs: number;
}

/** What it saw. */
export interface LoadResult {
  readonly replies: number;
  readonly errors: number;
  readonly requestsPerSecond: number;
  readonly p50Us: number;
  readonly p90Us: number;
  readonly p99Us: number;
  readonly maxUs: number;
  /** CPU time of the generator over wall time: near 1 it was itself the limit. */
  readonly cpuShare: number;
}

const extraTimeMs = 30_000;

/** Runs the frozen generator in a process of its own, so that it does not share a thread with what it measures. */
export const runLoad = async (options: LoadOptions): Promise<LoadResult> => {
  const argument = JSON.stringify({ ...options, body: '{"name":"Alice"}' });
  const timeout = options.warmupMs + options.durationMs + extraTimeMs;
  const { stdout } = await promisify(execFile)(process.execPath, [baselinePath("load.mjs"), argument], {
    timeout,
  });
  const result = JSON.parse(stdout) as LoadResult;
  if (result.errors > 0 || result.replies === 0)
    throw benchError(
      "OL_BENCH_WRONG_REPLY",
      `${result.errors} of ${result.replies} replies of ${options.path} were not 200`,
    );
  return result;
};
