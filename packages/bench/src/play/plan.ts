import { benchError } from "../errors.ts";
import { Random } from "../zygotes/random.ts";
import type { Trace, TraceCall } from "./trace.ts";

/** How a trace becomes calls. */
export interface PlanOptions {
  readonly seed: number;
  /** So many functions by chance, with all their calls; undefined: all. */
  readonly functions: number | undefined;
  /** The part of the trace's own time. */
  readonly fromMs: number;
  readonly lengthMs: number;
  /** So many calls for each that was recorded. */
  readonly scale: number;
  /** The trace's time passes so many times as fast. What calls take stays as it is. */
  readonly speed: number;
  /** Calls a second at random moments, whatever the trace's times are; undefined: those. */
  readonly rate: number | undefined;
  /** What a call takes of which the trace does not say it, in ms. */
  readonly runMs: number;
  /** The time of longer ones is cut to this. */
  readonly mostRunMs: number;
}

/** A call that is to be made. */
export interface PlannedCall {
  /** The place of its function. */
  readonly function: number;
  /** From the beginning of the play. */
  readonly dueMs: number;
  readonly runMs: number;
}

export interface Plan {
  /** Those that are called, by their place. */
  readonly functions: readonly string[];
  readonly calls: readonly PlannedCall[];
  /** Whether it is known when calls are due. */
  readonly timed: boolean;
  /** Calls whose time was cut. */
  readonly cut: number;
}

/** Places of so many functions, drawn by chance; all if there are no more. */
const draw = (count: number, of: number, random: Random): ReadonlySet<number> => {
  const places = Array.from({ length: of }, (_, at) => at);
  // Fisher and Yates, as far as it is needed.
  for (let at = 0; at < Math.min(count, of); at += 1) {
    const other = at + random.below(of - at);
    [places[at], places[other]] = [places[other] as number, places[at] as number];
  }
  return new Set(places.slice(0, count));
};

/** When each is due, from the first moment of the part that is played. */
const duesOf = (
  calls: readonly TraceCall[],
  { rate, fromMs, speed }: PlanOptions,
  random: Random,
): readonly number[] => {
  if (rate === undefined) return calls.map(({ atMs }) => (atMs - fromMs) / speed);
  let dueMs = 0;
  return calls.map(() => (dueMs += random.exponential(1_000 / rate)));
};

/** The calls of a trace, the same for the same options and seed. Fails with OL_BENCH_USAGE if there are none, or too many. */
export const planCalls = (trace: Trace, options: PlanOptions): Plan => {
  const random = new Random(options.seed);
  const { functions, fromMs, lengthMs, scale, rate, runMs, mostRunMs } = options;
  const drawn = functions === undefined ? undefined : draw(functions, trace.functions.length, random);
  const selection = {
    takes: (place: number) => drawn === undefined || drawn.has(place),
    fromMs,
    toMs: fromMs + lengthMs,
    scale,
  };
  const calls = trace.calls(selection, random);
  if (calls.length === 0)
    throw benchError(
      "OL_BENCH_USAGE",
      "no call of the trace is in what was chosen; take more of it with --functions, --from and --minutes, or --scale",
    );
  const dues = duesOf(calls, options, random);
  // Only those that are called become lambdas.
  const called = [...new Set(calls.map((call) => call.function))].sort((one, other) => one - other);
  const places = new Map(called.map((place, at) => [place, at]));
  let cut = 0;
  const planned = calls.map((call, at): PlannedCall => {
    const wantedMs = call.runMs ?? runMs;
    if (wantedMs > mostRunMs) cut += 1;
    return {
      function: places.get(call.function) as number,
      dueMs: dues[at] as number,
      runMs: Math.min(wantedMs, mostRunMs),
    };
  });
  return {
    functions: called.map((place) => trace.functions[place] as string),
    calls: planned,
    timed: trace.timed || rate !== undefined,
    cut,
  };
};
