// Everything that would move the cursor, change colours or forge a line.
// oxlint-disable-next-line no-control-regex -- finding control characters is the purpose
const CONTROL = /[\u0000-\u0008\u000A-\u001F\u007F-\u009F\u2028\u2029\u202A-\u202E\u2066-\u2069]/gu;

/** A stranger's text as one harmless line: control characters are written as \xNN or \uNNNN; tabs stay. */
export const escapeControls = (text: string): string =>
  text.replaceAll(CONTROL, (found) => {
    const code = found.codePointAt(0) as number;
    const hex = code.toString(16);
    return code < 0x100 ? `\\x${hex.padStart(2, "0")}` : `\\u${hex.padStart(4, "0")}`;
  });

/** Quoted, escaped and short, for messages. */
export const shown = (text: string): string =>
  JSON.stringify(escapeControls(text.length > 80 ? `${text.slice(0, 77)}...` : text)).replaceAll(
    "\\\\",
    "\\",
  );

/** The option that names a cluster, as one word of a shell's command line, to be copied from a message. */
export const asClusterFlag = (directory: string): string => {
  const harmless = escapeControls(directory);
  const word = /^[\w./:@%+,=-]+$/u.test(harmless) ? harmless : `'${harmless.replaceAll("'", "'\\''")}'`;
  return `--cluster=${word}`;
};

/** "12s", "3m", "5h", "2d" */
export const formatAge = (ageMs: number): string => {
  const seconds = Math.max(0, Math.floor(ageMs / 1000));
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)}h`;
  return `${Math.floor(seconds / 86_400)}d`;
};

/** Rows with their columns below one another, two spaces between. */
export const table = (rows: readonly (readonly string[])[]): string[] => {
  const widths: number[] = [];
  for (const row of rows)
    row.forEach((cell, column) => (widths[column] = Math.max(widths[column] ?? 0, cell.length)));
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
};
