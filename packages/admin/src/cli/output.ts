import type { Writable } from "node:stream";

/** Where a command's words go: results to one stream, messages to the other. */
export class Output {
  readonly #results: Writable;
  readonly #messages: Writable;
  /** True if messages are read by a person at a terminal. */
  readonly interactive: boolean;

  constructor(results: Writable, messages: Writable & { readonly isTTY?: boolean }) {
    this.#results = results;
    this.#messages = messages;
    this.interactive = messages.isTTY === true;
  }

  /** One line of the result. */
  result(line: string): void {
    this.#results.write(`${line}\n`);
  }

  /** Bytes of the result as they are. */
  bytes(data: Buffer): void {
    this.#results.write(data);
  }

  /** The result as JSON, for programs. */
  json(value: unknown): void {
    this.result(JSON.stringify(value, undefined, 2));
  }

  /** One line for the person at the terminal. */
  message(line: string): void {
    this.#messages.write(`${line}\n`);
  }

  /** Replaces the present line of an interactive terminal; "" clears it. */
  transient(line: string): void {
    this.#messages.write(`\r\u001B[K${line}`);
  }
}
