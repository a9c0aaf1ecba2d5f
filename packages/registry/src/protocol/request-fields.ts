import type { Query } from "./request-target.ts";

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

  /**
   * With the parameters of a presigned query that stand for header fields. Checksums are left away: clients that presign
   * an upload put that of an empty body there.
   */
  withQuery({ pairs }: Query): RequestFields {
    const taken = pairs.filter(
      ([name]) => name.startsWith("x-amz-") && !name.startsWith("x-amz-checksum-") && !this.#values.has(name),
    );
    const all = new RequestFields(
      taken.flatMap(([name, value]) => [name, Buffer.from(value).toString("latin1")]),
    );
    for (const [name, values] of this.#values) all.#values.set(name, values);
    return all;
  }
}
