import type { Aim, Results, Row } from "./results.ts";

const digits = (value: number): string => {
  if (!Number.isFinite(value)) return "-";
  if (Math.abs(value) >= 100) return value.toFixed(0);
  return value.toFixed(2);
};

const ratioText = (row: Row): string =>
  Object.entries(row.ratios)
    .map(([name, ratio]) => `${ratio.median.toFixed(2)} x ${name}`)
    .join(", ");

/** Columns padded to the widest cell; the first and the last are aligned to the left, the others to the right. */
export const align = (lines: readonly (readonly string[])[]): string[] => {
  const widths: number[] = [];
  for (const line of lines)
    for (const [index, cell] of line.entries()) widths[index] = Math.max(widths[index] ?? 0, cell.length);
  return lines.map((line) =>
    line
      .map((cell, index) =>
        index === 0 || index === line.length - 1
          ? cell.padEnd(widths[index] ?? 0)
          : cell.padStart(widths[index] ?? 0),
      )
      .join("  ")
      .trimEnd(),
  );
};

/** Which aims were reached, and what limits the meaning of the figures: a line each. */
export const formatAims = (aims: readonly Aim[], notes: readonly string[]): string[] => [
  ...aims.map((aim) => `aim: ${aim.name}: ${aim.ratio.toFixed(2)} ${aim.reached ? "reached" : "MISSED"}`),
  ...notes.map((note) => `note: ${note}`),
];

/** The results as people read them. */
export const formatTable = (results: Results): string => {
  const head = ["", "unit", "n", "p10", "median", "p90", "p99", "median ratio"];
  const body = results.rows.map((row) => [
    row.name,
    row.unit,
    String(row.values.count),
    digits(row.values.p10),
    digits(row.values.median),
    digits(row.values.p90),
    digits(row.values.p99),
    ratioText(row),
  ]);
  const machine = Object.entries(results.machine)
    .map(([key, value]) => `${key} ${value}`)
    .join(", ");
  return [machine, "", ...align([head, ...body]), "", ...formatAims(results.aims, results.notes)].join("\n");
};
