import { type BundleErrorCode, bundleError } from "./errors.ts";

/** More than these say nothing new. */
export const MAX_PROBLEMS = 20;

/** Text from a file, fit for a message: escaped and short. */
export const shown = (value: unknown): string => {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
};

/** The mistakes in one file, each a line `file:line: what, why, what to do`. */
export class Problems {
  readonly #file: string;
  readonly #found: { readonly line: number; readonly text: string }[] = [];

  /** `file` is how messages call it. */
  constructor(file: string) {
    this.#file = file;
  }

  get count(): number {
    return this.#found.length;
  }

  /** Notes one; lines count from 1. */
  add(line: number, message: string): void {
    this.#found.push({ line, text: `${this.#file}:${line}: ${message}` });
  }

  /** Fails with `code` if any mistake was noted, all of them in the order of the file. */
  assertNone(code: BundleErrorCode): void {
    if (this.#found.length === 0) return;
    const sorted = [...this.#found].sort((a, b) => a.line - b.line).map(({ text }) => text);
    const lines = sorted.slice(0, MAX_PROBLEMS);
    if (sorted.length > MAX_PROBLEMS) lines.push(`${this.#file}: and ${sorted.length - MAX_PROBLEMS} more`);
    throw bundleError(code, lines.join("\n"), { details: { problems: lines } });
  }
}
