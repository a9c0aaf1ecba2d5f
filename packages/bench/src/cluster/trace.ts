import { benchError } from "../errors.ts";
import { readTrace } from "../play/formats.ts";
import type { Trace } from "../play/trace.ts";
import { Random } from "../zygotes/random.ts";

/** Who was called when, of a trace. */
export interface RecordedCalls {
  /** How many lambdas there are. */
  readonly lambdas: number;
  /** In the order in which they came. `lambda`: its place; the one called most is 0. `atMs`: from the first call. */
  readonly calls: readonly { readonly lambda: number; readonly atMs: number }[];
}

/** Nothing is left out and nothing added, so that nothing is drawn. */
const ALL = { takes: () => true, fromMs: 0, toMs: Number.POSITIVE_INFINITY, scale: 1 };

const recordedOf = (trace: Trace): RecordedCalls => {
  const calls = trace.calls(ALL, new Random(0));
  const counts = trace.functions.map((name, place) => ({ name, place, count: 0 }));
  for (const call of calls) (counts[call.function] as { count: number }).count += 1;
  counts.sort((one, other) => other.count - one.count || (one.name < other.name ? -1 : 1));
  const places = new Map(counts.map(({ place }, at) => [place, at]));
  return {
    lambdas: counts.length,
    calls: calls.map(({ function: place, atMs }) => ({ lambda: places.get(place) as number, atMs })),
  };
};

/**
 * What of a worker's trace (one line of JSON for each call) can be played again: its calls with `function` and `req`. The lambdas
 * themselves are not in it. Several workers' traces may be put one behind the other. Fails with OL_BENCH_USAGE.
 */
export const readRecordedCalls = async (path: string): Promise<RecordedCalls> => {
  const trace = await readTrace(path, "json");
  if (!trace.timed)
    throw benchError(
      "OL_BENCH_USAGE",
      `${path}: its calls have no time (\`req\`); a worker's \`trace\` writes such a file`,
    );
  return recordedOf(trace);
};
