import { benchError } from "../errors.ts";
import { AZURE_2019_COLUMNS, readAzure2019 } from "./azure-2019.ts";
import { AZURE_2021_COLUMNS, readAzure2021 } from "./azure-2021.ts";
import { readJsonLines } from "./json-lines.ts";
import { linesOf } from "./lines.ts";
import { readNames } from "./names.ts";
import type { Trace } from "./trace.ts";

export const TRACE_FORMATS = ["auto", "names", "json", "azure2019", "azure2021"] as const;
export type TraceFormat = (typeof TRACE_FORMATS)[number];

const detect = async (path: string): Promise<Exclude<TraceFormat, "auto">> => {
  for await (const { text } of linesOf(path)) {
    if (text.startsWith("{")) return "json";
    const cells = text.split(",").map((cell) => cell.trim());
    if (AZURE_2021_COLUMNS.every((name) => cells.includes(name))) return "azure2021";
    if (AZURE_2019_COLUMNS.every((name) => cells.includes(name))) return "azure2019";
    if (cells.length === 1) return "names";
    throw benchError(
      "OL_BENCH_USAGE",
      `${path}: its first line begins no trace that is known here; say what it is with --format`,
    );
  }
  throw benchError("OL_BENCH_USAGE", `${path}: the trace has no calls`);
};

/** Reads a trace. `durations` is only for azure2019. Fails with OL_BENCH_USAGE. */
export const readTrace = async (path: string, format: TraceFormat, durations?: string): Promise<Trace> => {
  const found = format === "auto" ? await detect(path) : format;
  if (durations !== undefined && found !== "azure2019")
    throw benchError("OL_BENCH_USAGE", "--durations is only for a trace of the form azure2019");
  const trace = await readers[found](path, durations);
  if (trace.functions.length === 0) throw benchError("OL_BENCH_USAGE", `${path}: the trace has no calls`);
  return trace;
};

const readers: Readonly<
  Record<Exclude<TraceFormat, "auto">, (path: string, durations?: string) => Promise<Trace>>
> = {
  names: readNames,
  json: readJsonLines,
  azure2019: readAzure2019,
  azure2021: readAzure2021,
};
