import { linesOf, traceError } from "./lines.ts";

/** A line of a file with a header. */
export interface CsvRow {
  readonly number: number;
  readonly cells: readonly string[];
}

/** A file with a header: which columns there are, and then its rows. */
export interface Csv {
  readonly columns: readonly string[];
  readonly rows: AsyncIterable<CsvRow>;
}

const HEADER_LINE = 1;

/**
 * Opens a file with commas, of the plain kind that the Azure traces are: no quotes. Fails with OL_BENCH_USAGE, also while its
 * rows are read, if one has not as many cells as there are columns, or if one of `needed` is no column.
 */
export const openCsv = async (path: string, needed: readonly string[]): Promise<Csv> => {
  const lines = linesOf(path)[Symbol.asyncIterator]();
  const first = await lines.next();
  if (first.done === true) throw traceError(path, HEADER_LINE, "it is empty");
  const columns = first.value.text.split(",").map((cell) => cell.trim());
  const missing = needed.find((name) => !columns.includes(name));
  if (missing !== undefined)
    throw traceError(path, first.value.number, `there is no column ${missing} in the header`);
  async function* rows(): AsyncGenerator<CsvRow> {
    for (let line = await lines.next(); line.done !== true; line = await lines.next()) {
      const { number, text } = line.value;
      const cells = text.split(",").map((cell) => cell.trim());
      if (cells.length !== columns.length)
        throw traceError(path, number, `it has ${cells.length} cells, and the header ${columns.length}`);
      yield { number, cells };
    }
  }
  return { columns, rows: rows() };
};

/** A cell's number, from 0 on; fails with OL_BENCH_USAGE. */
export const numberIn = (path: string, { number, cells }: CsvRow, at: number, name: string): number => {
  const text = cells[at] ?? "";
  const value = Number(text);
  if (text !== "" && Number.isFinite(value) && value >= 0) return value;
  throw traceError(path, number, `${name} is ${JSON.stringify(text)}, which is no number from 0 on`);
};
