import assert from "node:assert/strict";

import { type OlError, isOlError } from "@ol/common";

import type { SandboxErrorCode } from "../errors.ts";
import type { Call, CallFailure, CallHandle, ReplyHead, ReplySink } from "../frames/call.ts";
import type { Reply, Sandbox } from "../sandbox.ts";
import { callOf } from "./conformance-kit.ts";

/** A request to the suite's web app; `path` with the query behind a `?`. */
export const requestOf = (path: string, body: Buffer | string = "", fields: Partial<Call> = {}): Call => {
  const [route = "", query = ""] = path.split("?");
  return {
    ...callOf(0),
    body: Buffer.from(body),
    http: { method: "POST", mount: "/run/app", path: route, query, client: "192.0.2.7" },
    ...fields,
  };
};

/** The reply to a request that must be answered in full. */
export const answerOf = async (sandbox: Sandbox, path: string, body?: Buffer | string): Promise<string> => {
  const reply = await sandbox.call(requestOf(path, body));
  assert.equal(reply.failure, undefined, reply.body.toString());
  assert.equal(reply.head?.status, 200);
  return reply.body.toString();
};

/** All values of a reply's header field. */
export const valuesOf = ({ head }: Reply, name: string): string[] => {
  const { headers } = head ?? { headers: [] };
  return headers.filter((_, at) => at % 2 === 1 && headers[at - 1]?.toLowerCase() === name.toLowerCase());
};

/** A request whose body is written, and whose reply is read, piece by piece. */
export class SlowExchange implements ReplySink {
  readonly heard: string[] = [];
  head: ReplyHead | undefined;
  /** Bytes of the reply that have come. */
  received = 0;
  error: OlError | undefined;
  readonly #handle: CallHandle;
  readonly #parts: Buffer[] = [];
  #taking = true;
  #roomy = false;
  #waiting: (() => void)[] = [];

  constructor(sandbox: Sandbox, call: Call) {
    this.#handle = sandbox.invoke(call, this);
  }

  get text(): string {
    return Buffer.concat(this.#parts).toString();
  }

  get over(): boolean {
    return ["whole", "end", "fail"].includes(this.heard.at(-1) ?? "");
  }

  /** Writes a piece once there is room for it, and waits for room for the next. */
  async write(data: Buffer | string): Promise<void> {
    await this.room();
    this.#roomy = this.#handle.write(Buffer.from(data));
    await this.room();
  }

  /** Writes pieces until there is no room; returns how many bytes they had. */
  writeAll(piece: Buffer, most: number): number {
    let size = 0;
    while (this.#roomy && size < most) {
      this.#roomy = this.#handle.write(piece);
      size += piece.length;
    }
    return size;
  }

  room(): Promise<void> {
    return this.until(() => this.#roomy);
  }

  endBody(): void {
    this.#handle.endBody();
  }

  cancel(): void {
    this.#handle.cancel();
  }

  /** Takes no more of the reply until `take`. */
  hold(): void {
    this.#taking = false;
  }

  take(): void {
    this.#taking = true;
    this.#handle.resume();
  }

  /** Waits until this is so, which something that is heard makes it. */
  async until(holds: () => boolean): Promise<void> {
    while (!holds()) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  whole(failure: CallFailure | undefined, body: Buffer, head?: ReplyHead): void {
    this.start(failure, head);
    this.chunk(body);
    this.#hear("whole");
  }

  start(failure: CallFailure | undefined, head?: ReplyHead): void {
    this.head = head;
    this.#hear(failure ?? "start");
  }

  chunk(data: Buffer): boolean {
    this.#parts.push(data);
    this.received += data.length;
    this.#wake();
    return this.#taking;
  }

  end(): void {
    this.#hear("end");
  }

  drain(): void {
    this.#roomy = true;
    this.#wake();
  }

  fail(error: OlError): void {
    this.error = error;
    this.#hear("fail");
  }

  #hear(what: string): void {
    this.heard.push(what);
    this.#wake();
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }
}

/** The request must not be answered: its reply cannot be carried, as the worker finds or the guest itself. */
export const isRefused = async (sandbox: Sandbox, path: string, code: SandboxErrorCode): Promise<void> => {
  const reply = await sandbox.call(requestOf(path)).catch((error: unknown) => {
    if (!isOlError(error, code)) throw error;
    return undefined;
  });
  if (reply !== undefined) assert.equal(reply.failure, "exception", reply.body.toString());
};
