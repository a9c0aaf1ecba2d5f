import { type Bar, plotBars } from "./plot/bars.ts";
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

/** Where a row is drawn, and as what. */
export interface Drawn {
  readonly panel: string;
  readonly label: string;
}

/** For a caption, which has one line. */
const shortMachine = ({ kernel = "?", cores = "?", node = "?" }: Results["machine"]): string =>
  `kernel ${kernel}, ${cores} cores, Node ${node}`;

/**
 * The medians as an SVG, a panel for each unit and whatever `drawn` tells apart, each with a scale of its own; the 99th percentile is a
 * dashed outline.
 */
export const plotTable = (
  { machine, rows }: Results,
  drawn: (row: Row) => Drawn = ({ name }) => ({ panel: "median", label: name }),
): string => {
  const panels = new Map<string, { title: string; unit: string; bars: Bar[] }>();
  for (const row of rows) {
    const { panel: title, label } = drawn(row);
    const { unit, values } = row;
    const key = `${unit} ${title}`;
    const panel = panels.get(key) ?? { title, unit, bars: [] };
    panels.set(key, panel);
    panel.bars.push({
      label,
      value: values.median,
      expected: values.count > 1 ? values.p99 : undefined,
    });
  }
  return plotBars(`medians; dashed: 99th percentile; ${shortMachine(machine)}`, [...panels.values()]);
};
