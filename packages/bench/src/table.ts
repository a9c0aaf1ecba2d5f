import { type Panel, plotBars } from "./plot/bars.ts";
import type { Aim, Results, Row, Skipped } from "./results.ts";

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

/** Which aims were reached, what was left out, and what limits the meaning of the figures: a line each. */
export const formatAims = (
  aims: readonly Aim[],
  notes: readonly string[],
  skipped: readonly Skipped[] = [],
): string[] => [
  ...aims.map((aim) => `aim: ${aim.name}: ${aim.ratio.toFixed(2)} ${aim.reached ? "reached" : "MISSED"}`),
  ...skipped.map(({ name, reason }) => `skipped: ${name}: ${reason}`),
  ...notes.map((note) => `note: ${note}`),
];

const describeMachine = (machine: Results["machine"]): string =>
  Object.entries(machine)
    .map(([key, value]) => `${key} ${value}`)
    .join(", ");

/** The results as people read them. */
export const formatTable = ({ machine, rows, aims, skipped, notes }: Results): string => {
  const head = ["", "unit", "n", "p10", "median", "p90", "p99", "max", "median ratio"];
  const body = rows.map((row) => [
    row.name,
    row.unit,
    String(row.values.count),
    digits(row.values.p10),
    digits(row.values.median),
    digits(row.values.p90),
    digits(row.values.p99),
    digits(row.values.max),
    ratioText(row),
  ]);
  return [
    describeMachine(machine),
    "",
    ...align([head, ...body]),
    "",
    ...formatAims(aims, notes, skipped),
  ].join("\n");
};

/** The medians as an SVG, a panel for each unit; the 99th percentile is a dashed outline. */
export const plotTable = ({ machine, rows }: Results): string => {
  const units = [...new Set(rows.map(({ unit }) => unit))];
  const panels = units.map((unit): Panel => ({
    title: "median",
    unit,
    bars: rows
      .filter((row) => row.unit === unit)
      .map(({ name, values }) => ({
        label: name,
        value: values.median,
        expected: values.count > 1 ? values.p99 : undefined,
      })),
  }));
  return plotBars(`${describeMachine(machine)}; dashed: 99th percentile`, panels);
};
