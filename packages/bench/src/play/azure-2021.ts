import { numberIn, openCsv } from "./csv.ts";
import { ListedTrace, Places } from "./listed-trace.ts";
import type { Trace, TraceCall } from "./trace.ts";

/** The columns of "Azure Functions Invocation Trace 2021". */
export const AZURE_2021_COLUMNS: readonly string[] = ["app", "func", "end_timestamp", "duration"];

const MS_PER_SEC = 1_000;

/** Reads such a file: a line for each call, with its end and its duration in seconds. Fails with OL_BENCH_USAGE. */
export const readAzure2021 = async (path: string): Promise<Trace> => {
  const { columns, rows } = await openCsv(path, AZURE_2021_COLUMNS);
  const [app, func, end, duration] = AZURE_2021_COLUMNS.map((name) => columns.indexOf(name)) as [
    number,
    number,
    number,
    number,
  ];
  const places = new Places();
  const calls: TraceCall[] = [];
  for await (const row of rows) {
    const name = row.cells[func] ?? "";
    const endSec = numberIn(path, row, end, "end_timestamp");
    const runSec = numberIn(path, row, duration, "duration");
    calls.push({
      function: places.of(`${row.cells[app]} ${name}`, name),
      atMs: (endSec - runSec) * MS_PER_SEC,
      runMs: runSec * MS_PER_SEC,
    });
  }
  return new ListedTrace(places.names, true, calls);
};
