import { linesOf, traceError, type TraceLine } from "./lines.ts";
import { ListedTrace, Places } from "./listed-trace.ts";
import { isTraceName } from "./names.ts";
import type { Trace, TraceCall } from "./trace.ts";

type Fields = Readonly<Record<string, unknown>>;

const isNumber = (value: unknown): value is number => typeof value === "number" && Number.isFinite(value);

const parse = (path: string, { number, text }: TraceLine): Fields => {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Fields;
  } catch {
    // Said below, as of what is JSON and no object.
  }
  throw traceError(path, number, "this is no JSON object");
};

/** How long the function itself ran, from a record of a worker or of ReqBench. */
const runMsOf = ({ start_execute: start, end_execute: end }: Fields): number | undefined =>
  isNumber(start) && isNumber(end) && start > 0 && end >= start ? end - start : undefined;

/**
 * An object on each line, as a worker's `trace` writes them and as ReqBench has them: `function` (or `name`), `req` (when it came, in ms),
 * `start_execute` and `end_execute`. Without any `req` only the order is known. Fails with OL_BENCH_USAGE.
 */
export const readJsonLines = async (path: string): Promise<Trace> => {
  const places = new Places();
  const calls: TraceCall[] = [];
  let timed: boolean | undefined;
  for await (const line of linesOf(path)) {
    const fields = parse(path, line);
    const name = fields["function"] ?? fields["name"];
    if (!isTraceName(name)) throw traceError(path, line.number, "neither `function` nor `name` is a name");
    const { req } = fields;
    if (req !== undefined && !isNumber(req)) throw traceError(path, line.number, "`req` is no time in ms");
    timed ??= req !== undefined;
    if (timed !== (req !== undefined))
      throw traceError(path, line.number, "some lines have `req` and some have not");
    calls.push({ function: places.of(name), atMs: req ?? 0, runMs: runMsOf(fields) });
  }
  return new ListedTrace(places.names, timed ?? false, calls);
};
