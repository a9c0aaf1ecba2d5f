import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";

import { type FitRecord, parseTraceStart } from "@ol/lambda";

import { benchError } from "../errors.ts";

/** A cold start as a worker's trace has it. */
export interface TracedStart {
  readonly lambda: string;
  /** From asking for the sandbox to its code being loaded. */
  readonly startMs: number;
  readonly importMs: number;
  /** What it imported, for fitting a tree. */
  readonly fit: FitRecord;
}

interface Line {
  readonly function: string;
  readonly start_create: number;
  readonly start_import: number;
  readonly end_import: number;
}

const parse = (line: string): TracedStart => {
  const fit = parseTraceStart(line);
  if (typeof fit === "string") throw benchError("OL_BENCH_WRONG_REPLY", `a line of the trace: ${fit}`);
  const record = JSON.parse(line) as Line;
  if (fit === undefined)
    throw benchError("OL_BENCH_WRONG_REPLY", `a call of ${record.function} met a sandbox that was there`);
  return {
    lambda: record.function,
    startMs: record.end_import - record.start_create,
    importMs: record.end_import - record.start_import,
    fit,
  };
};

/** The starts of these lambdas in the trace, in their order. Every call of them must have been one. */
export const readStarts = async (file: string, lambdas: ReadonlySet<string>): Promise<TracedStart[]> => {
  const starts: TracedStart[] = [];
  for await (const line of createInterface({ input: createReadStream(file) })) {
    if (!lambdas.has((JSON.parse(line) as Line).function)) continue;
    starts.push(parse(line));
  }
  return starts;
};
