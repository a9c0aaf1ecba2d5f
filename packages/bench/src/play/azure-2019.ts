import type { Random } from "../zygotes/random.ts";
import { type CsvRow, numberIn, openCsv } from "./csv.ts";
import { traceError } from "./lines.ts";
import { checkCount, Places, timesOf } from "./listed-trace.ts";
import { inOrder, type Selection, type Trace, type TraceCall } from "./trace.ts";

/** What both kinds of files of "Azure Functions Dataset 2019" have. */
export const AZURE_2019_COLUMNS: readonly string[] = ["HashOwner", "HashApp", "HashFunction"];

const MINUTE_MS = 60_000;

/** How long a function's calls run: shares of them from 0 to 1, and the ms that they are not above. */
type RunTimes = readonly (readonly [share: number, ms: number])[];

/** The key of a row's function, and its name. */
const functionIn = (columns: readonly string[], { cells }: CsvRow): { key: string; name: string } => {
  const parts = AZURE_2019_COLUMNS.map((name) => cells[columns.indexOf(name)] ?? "");
  return { key: parts.join(" "), name: parts[2] ?? "" };
};

/** The file of durations: its columns percentile_Average_0 to _100, in ms. */
const readRunTimes = async (path: string): Promise<ReadonlyMap<string, RunTimes>> => {
  const { columns, rows } = await openCsv(path, [...AZURE_2019_COLUMNS, "percentile_Average_50"]);
  const shares = columns.flatMap((name, at) => {
    const percent = /^percentile_Average_(\d+)$/u.exec(name)?.[1];
    return percent === undefined ? [] : [{ at, name, share: Number(percent) / 100 }];
  });
  shares.sort((one, other) => one.share - other.share);
  const times = new Map<string, RunTimes>();
  for await (const row of rows)
    times.set(
      functionIn(columns, row).key,
      shares.map(({ at, name, share }) => [share, numberIn(path, row, at, name)] as const),
    );
  return times;
};

/** A run time of that distribution, which is taken to be straight between two of its points. */
const drawRunMs = (times: RunTimes, random: Random): number => {
  const share = random.next();
  const above = times.findIndex(([upTo]) => upTo >= share);
  const high = times[above] ?? times.at(-1);
  const low = times[above - 1] ?? high;
  if (high === undefined || low === undefined) return 0;
  if (high[0] === low[0]) return high[1];
  return low[1] + ((share - low[0]) / (high[0] - low[0])) * (high[1] - low[1]);
};

/** Calls of which only the number in each minute is known. They are spread over the minute by chance. */
class CountedTrace implements Trace {
  readonly timed = true;
  readonly functions: readonly string[];
  /** Of each function: minute, count, minute, count ... */
  readonly #counts: readonly Uint32Array[];
  readonly #runTimes: readonly (RunTimes | undefined)[];

  constructor(
    functions: readonly string[],
    counts: readonly Uint32Array[],
    runTimes: readonly (RunTimes | undefined)[],
  ) {
    this.functions = functions;
    this.#counts = counts;
    this.#runTimes = runTimes;
  }

  calls({ takes, fromMs, toMs, scale }: Selection, random: Random): readonly TraceCall[] {
    const calls: TraceCall[] = [];
    for (const [place, counts] of this.#counts.entries()) {
      if (!takes(place)) continue;
      const runTimes = this.#runTimes[place];
      for (let at = 0; at < counts.length; at += 2) {
        const minuteMs = (counts[at] ?? 0) * MINUTE_MS;
        if (minuteMs + MINUTE_MS <= fromMs || minuteMs >= toMs) continue;
        const times = timesOf((counts[at + 1] ?? 0) * scale, random);
        checkCount(calls.length + times);
        for (let call = 0; call < times; call += 1) {
          const atMs = minuteMs + random.next() * MINUTE_MS;
          const runMs = runTimes === undefined ? undefined : drawRunMs(runTimes, random);
          if (atMs >= fromMs && atMs < toMs) calls.push({ function: place, atMs, runMs });
        }
      }
    }
    return inOrder(calls);
  }
}

/**
 * Reads a file of invocations by function and minute (columns 1 to 1440) and, if there is one, the file of durations of the same
 * day. Fails with OL_BENCH_USAGE.
 */
export const readAzure2019 = async (path: string, durationsPath?: string): Promise<Trace> => {
  const runTimes =
    durationsPath === undefined ? new Map<string, RunTimes>() : await readRunTimes(durationsPath);
  const { columns, rows } = await openCsv(path, AZURE_2019_COLUMNS);
  const minutes = columns.flatMap((name, at) =>
    /^[1-9]\d*$/u.test(name) ? [{ at, name, minute: Number(name) - 1 }] : [],
  );
  if (minutes.length === 0)
    throw traceError(path, 1, "there is no column of a minute (1, 2, ...) in the header");
  const places = new Places();
  const counts: number[][] = [];
  const times: (RunTimes | undefined)[] = [];
  for await (const row of rows) {
    const { key, name } = functionIn(columns, row);
    const place = places.of(key, name);
    times[place] = runTimes.get(key);
    const pairs = (counts[place] ??= []);
    for (const { at, name: column, minute } of minutes) {
      if (row.cells[at] === "0") continue;
      const count = numberIn(path, row, at, column);
      if (!Number.isInteger(count)) throw traceError(path, row.number, `${column} is no whole number`);
      if (count > 0) pairs.push(minute, count);
    }
  }
  return new CountedTrace(
    places.names,
    counts.map((pairs) => Uint32Array.from(pairs)),
    times,
  );
};
