export const MARGIN = 14;
export const TITLE_HEIGHT = 34;
/** What a letter of the font takes, about: nobody asks a browser. */
const LETTER_WIDTH = 7;
const LEAST_LABEL_WIDTH = 150;
const MOST_LABEL_WIDTH = 460;
const ESCAPED: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };

/** Text of anybody as text of an SVG. */
export const escaped = (text: string): string =>
  // Control characters may not be in XML, not even escaped.
  text.replaceAll(/\p{Cc}/gu, "?").replaceAll(/[&<>"]/gu, (char) => ESCAPED[char] ?? char);

/** A value in three digits. */
export const shown = (value: number): string => {
  if (!Number.isFinite(value)) return "-";
  return Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3);
};

/** What the longest of these labels takes. */
export const labelWidth = (labels: readonly string[]): number => {
  const letters = Math.max(...labels.map((label) => label.length), 0);
  return Math.min(Math.max(letters * LETTER_WIDTH + MARGIN, LEAST_LABEL_WIDTH), MOST_LABEL_WIDTH);
};

/** The whole picture: a white ground, the caption, and what was drawn. */
export const svg = (caption: string, width: number, height: number, lines: readonly string[]): string =>
  [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" font-family="sans-serif" font-size="13">`,
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    `<text x="${MARGIN}" y="22">${escaped(caption)}</text>`,
    ...lines,
    "</svg>",
    "",
  ].join("\n");
