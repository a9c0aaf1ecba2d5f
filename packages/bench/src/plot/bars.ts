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

const WIDTH = 760;
const LABEL_WIDTH = 150;
const VALUE_WIDTH = 90;
const ROW_HEIGHT = 26;
const BAR_HEIGHT = 16;
const TITLE_HEIGHT = 34;
const MARGIN = 14;
const ESCAPED: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };

const escaped = (text: string): string => text.replaceAll(/[&<>"]/gu, (char) => ESCAPED[char] ?? char);

const shown = (value: number): string => {
  if (!Number.isFinite(value)) return "-";
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
};

const heightOf = ({ bars }: Panel): number => TITLE_HEIGHT + bars.length * ROW_HEIGHT + MARGIN;

const drawBar = ({ label, value, expected }: Bar, top: number, perUnit: number): string[] => {
  const lengthOf = (amount: number): string => (Number.isFinite(amount) ? amount * perUnit : 0).toFixed(1);
  const middle = top + BAR_HEIGHT - 4;
  const lines = [
    `<text x="${LABEL_WIDTH - 8}" y="${middle}" text-anchor="end">${escaped(label)}</text>`,
    `<rect x="${LABEL_WIDTH}" y="${top}" width="${lengthOf(value)}" height="${BAR_HEIGHT}" fill="#4878a8"/>`,
  ];
  if (expected !== undefined && Number.isFinite(expected))
    lines.push(
      `<rect x="${LABEL_WIDTH}" y="${top}" width="${lengthOf(expected)}" height="${BAR_HEIGHT}" fill="none" stroke="#c06020" stroke-dasharray="4 2"/>`,
    );
  lines.push(`<text x="${WIDTH - MARGIN}" y="${middle}" text-anchor="end">${shown(value)}</text>`);
  return lines;
};

const drawPanel = (panel: Panel, top: number): string[] => {
  const { title, unit, bars } = panel;
  const values = bars.flatMap(({ value, expected }) => [value, expected ?? 0]).filter(Number.isFinite);
  const most = Math.max(...values, 0);
  const perUnit = most === 0 ? 0 : (WIDTH - LABEL_WIDTH - VALUE_WIDTH) / most;
  return [
    `<text x="${MARGIN}" y="${top + 20}" font-weight="bold">${escaped(`${title}, ${unit}`)}</text>`,
    ...bars.flatMap((bar, row) => drawBar(bar, top + TITLE_HEIGHT + row * ROW_HEIGHT, perUnit)),
  ];
};

/** An SVG of horizontal bars, panel under panel, each with a scale of its own; what was expected is a dashed outline. */
export const plotBars = (caption: string, panels: readonly Panel[]): string => {
  const lines: string[] = [];
  let top = TITLE_HEIGHT;
  for (const panel of panels) {
    lines.push(...drawPanel(panel, top));
    top += heightOf(panel);
  }
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${top}" width="${WIDTH}" height="${top}" font-family="sans-serif" font-size="13">`,
    `<rect width="${WIDTH}" height="${top}" fill="#ffffff"/>`,
    `<text x="${MARGIN}" y="22">${escaped(caption)}</text>`,
    ...lines,
    "</svg>",
    "",
  ].join("\n");
};
