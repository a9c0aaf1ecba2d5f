import type { Output } from "../cli/output.ts";
import { escapeControls } from "../text.ts";

/** One thing that `ol-worker doctor` or `base` looked at. */
export interface Check {
  readonly name: string;
  readonly ok: boolean;
  readonly detail: string;
}

interface Enforcement {
  readonly words: readonly string[];
  readonly notes: readonly string[];
}

/** Its fields; none of what is no object. */
export const asRecord = (value: unknown): Record<string, unknown> =>
  (typeof value === "object" && value !== null ? value : {}) as Record<string, unknown>;

const word = (value: unknown): string =>
  escapeControls(typeof value === "string" ? value : (JSON.stringify(value) ?? "?"));

/** The checks in what `ol-worker doctor --json` prints; `optional`: of what a worker can do without. */
export const checksIn = (report: unknown, kind: "checks" | "optional" = "checks"): readonly Check[] => {
  const list: unknown = asRecord(report)[kind];
  if (!Array.isArray(list)) return [];
  return list.map((item: unknown) => {
    const { name, ok, detail } = asRecord(item);
    return { name: word(name), ok: ok === true, detail: word(detail) };
  });
};

const enforcementIn = (report: unknown): Enforcement => {
  const { notes, ...rest } = asRecord(asRecord(report)["enforcement"]);
  return {
    words: Object.entries(rest).map(([key, value]) => `${key}: ${word(value)}`),
    notes: Array.isArray(notes) ? notes.map((note: unknown) => word(note)) : [],
  };
};

/** The checks, those of the report that are optional, and what limits there are. */
export const printReport = (output: Output, checks: readonly Check[], report: unknown): void => {
  const optional = checksIn(report, "optional");
  const { words, notes } = enforcementIn(report);
  const width = Math.max(...[...checks, ...optional].map(({ name }) => name.length));
  const line = ({ name, ok, detail }: Check, otherwise: string): void =>
    output.result(`${ok ? "ok  " : otherwise}  ${name.padEnd(width)}  ${detail}`);
  for (const check of checks) line(check, "FAIL");
  for (const check of optional) line(check, "--  ");
  if (words.length > 0) output.result(`limits enforced by  ${words.join(", ")}`);
  for (const note of notes) output.result(`note  ${note}`);
};
