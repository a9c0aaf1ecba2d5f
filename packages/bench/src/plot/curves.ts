import { escaped, MARGIN, shown, svg, TITLE_HEIGHT } from "./svg.ts";

/** Points from left to right. */
export interface Curve {
  readonly label: string;
  readonly points: readonly (readonly [x: number, y: number])[];
}

/** Curves over one axis, and which of its places are named. */
export interface Diagram {
  readonly title: string;
  readonly unit: string;
  readonly curves: readonly Curve[];
  readonly ticks: readonly { readonly x: number; readonly label: string }[];
}

const WIDTH = 760;
const HEIGHT = 280;
const LEFT = 70;
const BOTTOM = 30;
const RIGHT = 190;
const COLOURS = ["#4878a8", "#c06020", "#3d8b4f", "#8a4f9e", "#a83a48", "#5f5f5f"];
const Y_LINES = 4;

const rangeOf = (values: readonly number[]): { least: number; most: number } => {
  let [least, most] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const value of values) {
    least = Math.min(least, value);
    most = Math.max(most, value);
  }
  return least > most ? { least: 0, most: 1 } : { least, most: most === least ? least + 1 : most };
};

const drawDiagram = ({ title, unit, curves, ticks }: Diagram, top: number): string[] => {
  const points = curves.flatMap((curve) => curve.points).filter(([x, y]) => Number.isFinite(x + y));
  const across = rangeOf([...points.map(([x]) => x), ...ticks.map(({ x }) => x)]);
  const { most } = rangeOf([0, ...points.map(([, y]) => y)]);
  const floor = top + HEIGHT - BOTTOM;
  const placeX = (x: number): string =>
    (LEFT + ((WIDTH - LEFT - RIGHT) * (x - across.least)) / (across.most - across.least)).toFixed(1);
  const placeY = (y: number): string => (floor - ((HEIGHT - BOTTOM - TITLE_HEIGHT) * y) / most).toFixed(1);
  const lines = [
    `<text x="${MARGIN}" y="${top + 20}" font-weight="bold">${escaped(`${title}, ${unit}`)}</text>`,
  ];
  for (let line = 0; line <= Y_LINES; line += 1) {
    const value = (most * line) / Y_LINES;
    const y = placeY(value);
    lines.push(
      `<line x1="${LEFT}" y1="${y}" x2="${WIDTH - RIGHT}" y2="${y}" stroke="#dddddd"/>`,
      `<text x="${LEFT - 6}" y="${y}" text-anchor="end">${shown(value)}</text>`,
    );
  }
  for (const { x, label } of ticks)
    lines.push(`<text x="${placeX(x)}" y="${floor + 18}" text-anchor="middle">${escaped(label)}</text>`);
  for (const [at, curve] of curves.entries()) {
    const colour = COLOURS[at % COLOURS.length];
    const path = curve.points
      .filter(([x, y]) => Number.isFinite(x + y))
      .map(([x, y]) => `${placeX(x)},${placeY(y)}`)
      .join(" ");
    lines.push(
      `<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="2"/>`,
      `<text x="${WIDTH - RIGHT + 10}" y="${top + TITLE_HEIGHT + 18 * (at + 1)}" fill="${colour}">${escaped(curve.label)}</text>`,
    );
  }
  return lines;
};

/** An SVG of curves, diagram under diagram; each begins at 0 and has a scale of its own. */
export const plotCurves = (caption: string, diagrams: readonly Diagram[]): string =>
  svg(
    caption,
    WIDTH,
    TITLE_HEIGHT + diagrams.length * (HEIGHT + MARGIN),
    diagrams.flatMap((diagram, at) => drawDiagram(diagram, TITLE_HEIGHT + at * (HEIGHT + MARGIN))),
  );
