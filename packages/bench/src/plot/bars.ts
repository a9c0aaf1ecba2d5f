import { escaped, labelWidth, MARGIN, shown, svg, TITLE_HEIGHT } from "./svg.ts";

/** A value, and what somebody else said that it would be. */
export interface Bar {
  readonly label: string;
  readonly value: number;
  readonly expected?: number | undefined;
}

/** Bars that have one unit. */
export interface Panel {
  readonly title: string;
  readonly unit: string;
  readonly bars: readonly Bar[];
}

const MOST_BAR_WIDTH = 520;
const VALUE_WIDTH = 90;
const ROW_HEIGHT = 26;
const BAR_HEIGHT = 16;

const heightOf = ({ bars }: Panel): number => TITLE_HEIGHT + bars.length * ROW_HEIGHT + MARGIN;

/** Where bars begin, and where the picture ends. */
interface Frame {
  readonly left: number;
  readonly width: number;
}

const drawBar = (
  { label, value, expected }: Bar,
  top: number,
  perUnit: number,
  { left, width }: Frame,
): string[] => {
  const lengthOf = (amount: number): string => (Number.isFinite(amount) ? amount * perUnit : 0).toFixed(1);
  const middle = top + BAR_HEIGHT - 4;
  const lines = [
    `<text x="${left - 8}" y="${middle}" text-anchor="end">${escaped(label)}</text>`,
    `<rect x="${left}" y="${top}" width="${lengthOf(value)}" height="${BAR_HEIGHT}" fill="#4878a8"/>`,
  ];
  if (expected !== undefined && Number.isFinite(expected))
    lines.push(
      `<rect x="${left}" y="${top}" width="${lengthOf(expected)}" height="${BAR_HEIGHT}" fill="none" stroke="#c06020" stroke-dasharray="4 2"/>`,
    );
  lines.push(`<text x="${width - MARGIN}" y="${middle}" text-anchor="end">${shown(value)}</text>`);
  return lines;
};

const drawPanel = (panel: Panel, top: number, frame: Frame): string[] => {
  const { title, unit, bars } = panel;
  const values = bars.flatMap(({ value, expected }) => [value, expected ?? 0]).filter(Number.isFinite);
  const most = Math.max(...values, 0);
  const perUnit = most === 0 ? 0 : MOST_BAR_WIDTH / most;
  return [
    `<text x="${MARGIN}" y="${top + 20}" font-weight="bold">${escaped(`${title}, ${unit}`)}</text>`,
    ...bars.flatMap((bar, row) => drawBar(bar, top + TITLE_HEIGHT + row * ROW_HEIGHT, perUnit, frame)),
  ];
};

/** An SVG of horizontal bars, panel under panel, each with a scale of its own; what was expected is a dashed outline. */
export const plotBars = (caption: string, panels: readonly Panel[]): string => {
  const left = labelWidth(panels.flatMap(({ bars }) => bars.map(({ label }) => label)));
  const frame = { left, width: left + MOST_BAR_WIDTH + VALUE_WIDTH };
  const lines: string[] = [];
  let top = TITLE_HEIGHT;
  for (const panel of panels) {
    lines.push(...drawPanel(panel, top, frame));
    top += heightOf(panel);
  }
  return svg(caption, frame.width, top, lines);
};
