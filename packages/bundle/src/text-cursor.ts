import { shown } from "./problems.ts";

/** A place in a text that moves on as its parts are taken. */
export class TextCursor {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  /** What is left. */
  get rest(): string {
    return this.#text.slice(this.#at);
  }

  /** Where it is, for a message. */
  get here(): string {
    return this.done ? "its end" : shown(this.rest);
  }

  /** Whether nothing is left. */
  get done(): boolean {
    return this.#at >= this.#text.length;
  }

  /** Moves behind what `pattern`, which is sticky, matches here; undefined and no move if it does not. */
  take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0];
    this.#at += found?.length ?? 0;
    return found;
  }

  skipSpace(): void {
    this.take(/\s+/uy);
  }
}
