import { benchError } from "../errors.ts";

/** Who was called when, of a trace. */
export interface RecordedCalls {
  /** How many lambdas there are. */
  readonly lambdas: number;
  /** In the order in which they came. `lambda`: its place; the one called most is 0. `atMs`: since 1970. */
  readonly calls: readonly { readonly lambda: number; readonly atMs: number }[];
}

interface Line {
  readonly name: string;
  readonly atMs: number;
}

const parseLine = (text: string, number: number): Line => {
  const wrong = (why: string): Error =>
    benchError(
      "OL_BENCH_USAGE",
      `line ${number} of the trace: ${why}; a worker's \`trace\` writes such a file`,
    );
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw wrong("no JSON");
  }
  const { function: name, req: atMs } = (value ?? {}) as Readonly<Record<string, unknown>>;
  if (typeof name !== "string" || name === "") throw wrong("`function` is no name");
  if (typeof atMs !== "number" || !Number.isFinite(atMs)) throw wrong("`req` is no time in ms");
  return { name, atMs };
};

/**
 * What of a worker's trace (one line of JSON for each call) can be played again: its calls with `function` and `req`. The lambdas
 * themselves are not in it. Several workers' traces may be put one behind the other. Fails with OL_BENCH_USAGE.
 */
export const readRecordedCalls = (text: string): RecordedCalls => {
  const lines: Line[] = [];
  for (const [at, line] of text.split("\n").entries())
    if (line.trim() !== "") lines.push(parseLine(line, at + 1));
  if (lines.length === 0) throw benchError("OL_BENCH_USAGE", "the trace has no calls");
  const counts = new Map<string, number>();
  for (const { name } of lines) counts.set(name, (counts.get(name) ?? 0) + 1);
  const byCount = [...counts].sort(([one, most], [other, more]) => more - most || (one < other ? -1 : 1));
  const places = new Map(byCount.map(([name], place) => [name, place]));
  const calls = lines
    .sort((one, other) => one.atMs - other.atMs)
    .map(({ name, atMs }) => ({ lambda: places.get(name) ?? 0, atMs }));
  return { lambdas: places.size, calls };
};
