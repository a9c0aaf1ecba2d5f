import { connect, type Socket } from "node:net";

import type { TestReply } from "./clients.ts";

/** How long something may take to come. */
const WAIT_MS = 20_000;

/** A reply's head, as it was sent. */
export interface RawHead {
  readonly status: number;
  /** Name, value; in their order and spelling. */
  readonly fields: readonly (readonly [string, string])[];
}

/** A reply as a raw socket saw it. */
export interface RawReply extends TestReply {
  readonly fields: RawHead["fields"];
  /** The connection ended before the reply was complete. */
  readonly broken: boolean;
}

/** All values of a field, in their order. */
export const valuesOf = ({ fields }: RawHead, name: string): string[] =>
  fields.filter(([field]) => field.toLowerCase() === name).map(([, value]) => value);

/** A connection on which requests are written by hand, and replies read strictly one after the other. */
export class RawConnection {
  /** Statuses of the interim replies that came before the last one. */
  readonly interim: number[] = [];
  readonly #socket: Socket;
  #data: Buffer = Buffer.alloc(0);
  #closed = false;
  #wake: () => void = () => undefined;

  constructor(port: number) {
    this.#socket = connect({ port, host: "127.0.0.1" });
    this.#socket.on("data", (data: Buffer) => {
      this.#data = this.#data.length === 0 ? data : Buffer.concat([this.#data, data]);
      this.#wake();
    });
    // That it ended is what counts: a server that closes while we write resets it.
    this.#socket.on("error", () => undefined);
    this.#socket.on("close", () => {
      this.#closed = true;
      this.#wake();
    });
  }

  /** The server has closed it. */
  get closed(): boolean {
    return this.#closed;
  }

  /** Settles when it is written, or never will be. */
  write(...parts: readonly (string | Buffer)[]): Promise<void> {
    const data = Buffer.concat(parts.map((part) => Buffer.from(part as string, "latin1")));
    return new Promise((resolve) => {
      const settled = (): void => resolve();
      if (this.#socket.destroyed) return settled();
      this.#socket.once("close", settled);
      this.#socket.write(data, () => {
        this.#socket.off("close", settled);
        settled();
      });
    });
  }

  /** Takes nothing more from the connection. */
  pause(): void {
    this.#socket.pause();
  }

  close(): void {
    this.#socket.destroy();
  }

  /** The next reply; undefined if the connection ended before its first byte. */
  async reply(method = "GET"): Promise<RawReply | undefined> {
    const head = await this.head();
    if (head === undefined) return undefined;
    const headers = Object.fromEntries(
      head.fields.map(([name]) => [name.toLowerCase(), valuesOf(head, name.toLowerCase()).join(", ")]),
    );
    const { body, broken } = await this.#body(head, headers, method);
    return { ...head, headers, body, broken };
  }

  /** The head of the next reply, without what follows. Interim ones are noted. */
  async head(): Promise<RawHead | undefined> {
    for (;;) {
      const end = await this.#until(() => this.#data.indexOf("\r\n\r\n"));
      if (end === undefined) {
        if (this.#data.length === 0) return undefined;
        throw new Error(`half a head: ${JSON.stringify(this.#data.toString("latin1"))}`);
      }
      const [line = "", ...lines] = this.#take(end + 4)
        .toString("latin1")
        .trimEnd()
        .split("\r\n");
      const status = /^HTTP\/1\.1 (\d{3}) /u.exec(line)?.[1];
      if (status === undefined) throw new Error(`no head: ${JSON.stringify(line)}`);
      if (!status.startsWith("1")) return { status: Number(status), fields: lines.map(fieldOf) };
      this.interim.push(Number(status));
    }
  }

  /** Waits until the connection has brought this, and takes everything up to its end. */
  async through(text: string): Promise<string> {
    const at = await this.#until(() => this.#data.indexOf(text));
    if (at === undefined) throw new Error(`closed before ${JSON.stringify(text)} came`);
    return this.#take(at + text.length).toString("latin1");
  }

  /** Everything that still comes until the connection ends. */
  async rest(): Promise<string> {
    await this.#until(() => -1);
    return this.#take(this.#data.length).toString("latin1");
  }

  async #body(
    { status }: RawHead,
    headers: TestReply["headers"],
    method: string,
  ): Promise<{ body: Buffer; broken: boolean }> {
    if (method === "HEAD" || status === 204 || status === 304)
      return { body: Buffer.alloc(0), broken: false };
    if (headers["transfer-encoding"] === "chunked") return this.#chunks();
    const length = Number(headers["content-length"] ?? Number.POSITIVE_INFINITY);
    const whole = await this.#until(() => (this.#data.length >= length ? length : -1));
    const body = this.#take(whole ?? this.#data.length);
    return { body, broken: whole === undefined && length !== Number.POSITIVE_INFINITY };
  }

  async #chunks(): Promise<{ body: Buffer; broken: boolean }> {
    const parts: Buffer[] = [];
    for (;;) {
      const lineEnd = await this.#until(() => this.#data.indexOf("\r\n"));
      const size = lineEnd === undefined ? 0 : Number.parseInt(this.#data.toString("latin1", 0, lineEnd), 16);
      const end = (lineEnd ?? 0) + 2 + size + 2;
      const whole = await this.#until(() => (lineEnd !== undefined && this.#data.length >= end ? end : -1));
      if (whole === undefined) return { body: Buffer.concat(parts), broken: true };
      const chunk = this.#take(whole);
      if (size === 0) return { body: Buffer.concat(parts), broken: false };
      parts.push(chunk.subarray((lineEnd ?? 0) + 2, -2));
    }
  }

  #take(bytes: number): Buffer {
    const data = this.#data.subarray(0, bytes);
    this.#data = this.#data.subarray(bytes);
    return data;
  }

  /** Waits until `find` finds something, which is not negative; undefined if the connection ends before. */
  async #until(find: () => number): Promise<number | undefined> {
    const timer = setTimeout(() => this.#socket.destroy(), WAIT_MS);
    try {
      for (;;) {
        const found = find();
        if (found >= 0) return found;
        if (this.#closed) return undefined;
        await new Promise<void>((resolve) => (this.#wake = resolve));
      }
    } finally {
      clearTimeout(timer);
    }
  }
}

const fieldOf = (line: string): readonly [string, string] => {
  const at = line.indexOf(":");
  return [line.slice(0, at), line.slice(at + 1).trim()];
};
