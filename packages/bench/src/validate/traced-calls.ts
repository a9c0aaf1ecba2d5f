import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";

import { parseTraceStart } from "@ol/lambda";

import { benchError } from "../errors.ts";

/** A call as a worker's trace has it, in ms. */
export interface TracedCall {
  readonly lambda: string;
  readonly cold: boolean;
  readonly memoryMs: number;
  readonly forkMs: number;
  readonly importMs: number;
  readonly runMs: number;
  /** What it imported itself, by pin. */
  readonly costs: ReadonlyMap<string, { readonly ms: number; readonly mb: number }>;
}

interface Line {
  readonly function: string;
  readonly cold: boolean;
  readonly memory_ms: number;
  readonly start_create: number;
  readonly end_create: number;
  readonly start_import: number;
  readonly end_import: number;
  readonly start_execute: number;
  readonly end_execute: number;
}

/** A line of a worker's trace. Fails with OL_BENCH_WRONG_REPLY. */
export const parseTracedCall = (text: string): TracedCall => {
  const fit = parseTraceStart(text);
  if (typeof fit === "string") throw benchError("OL_BENCH_WRONG_REPLY", `a line of the trace: ${fit}`);
  const line = JSON.parse(text) as Line;
  return {
    lambda: line.function,
    cold: line.cold,
    memoryMs: line.memory_ms,
    forkMs: line.end_create - line.start_create,
    importMs: line.end_import - line.start_import,
    runMs: line.end_execute - line.start_execute,
    costs: fit?.costs ?? new Map(),
  };
};

/** All calls of a worker's trace, in the order in which they ended. Fails with OL_BENCH_WRONG_REPLY. */
export const readTracedCalls = async (file: string): Promise<readonly TracedCall[]> => {
  const calls: TracedCall[] = [];
  for await (const line of createInterface({ input: createReadStream(file) }))
    calls.push(parseTracedCall(line));
  return calls;
};
