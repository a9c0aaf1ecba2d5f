import { linesOf, traceError } from "./lines.ts";
import { ListedTrace, Places } from "./listed-trace.ts";
import type { Trace, TraceCall } from "./trace.ts";

const MOST_CHARS = 1_024;

/** Whether it can be a function's name in a trace: a text of one line, whatever is in it. */
export const isTraceName = (name: unknown): name is string =>
  typeof name === "string" && name !== "" && name.length <= MOST_CHARS && !/\p{Cc}/u.test(name);

/** One name on each line, in the order of the calls, as OpenLambda's own load generator had it. Without times. */
export const readNames = async (path: string): Promise<Trace> => {
  const places = new Places();
  const calls: TraceCall[] = [];
  for await (const { number, text } of linesOf(path)) {
    if (!isTraceName(text)) throw traceError(path, number, "this is no function's name");
    calls.push({ function: places.of(text), atMs: 0, runMs: undefined });
  }
  return new ListedTrace(places.names, false, calls);
};
