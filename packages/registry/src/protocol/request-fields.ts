/** A request's header fields, with every value of a name that was sent more than once. */
export class RequestFields {
  readonly #values = new Map<string, string[]>();

  /** `rawHeaders` is name, value, name, value ... as node:http has it: bytes as Latin-1. */
  constructor(rawHeaders: readonly string[]) {
    for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
      const name = (rawHeaders[at] as string).toLowerCase();
      const value = rawHeaders[at + 1] as string;
      const there = this.#values.get(name);
      if (there === undefined) this.#values.set(name, [value]);
      else there.push(value);
    }
  }

  /** The value of that lower-case name; of several, separated by commas (RFC 9110, 5.3). */
  get(name: string): string | undefined {
    return this.#values.get(name)?.join(",");
  }

  /** Each separately. */
  all(name: string): readonly string[] {
    return this.#values.get(name) ?? [];
  }

  names(): Iterable<string> {
    return this.#values.keys();
  }
}
