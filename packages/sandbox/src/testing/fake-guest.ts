import type { Duplex } from "node:stream";

import { messageOf } from "@ol/common";

import type { SandboxExit } from "../engine.ts";
import {
  DEFAULT_WINDOW,
  EMPTY,
  END,
  FRAME,
  RESET_CODE,
  decodeMeta,
  encodeUint32,
  metaField,
  writeFrame,
} from "../frames/codec.ts";
import { type FrameHandler, FrameReader } from "../frames/reader.ts";

/** What a fake lambda sees besides its event. */
export interface FakeContext {
  readonly invocationId: string;
  readonly timeoutMs: number;
  /** Fields of the CALL frame as they came: name, value, ... */
  readonly fields: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  /** Kept between the calls of one sandbox. */
  readonly state: Record<string, unknown>;
  /** Aborted when the worker resets the call. */
  readonly signal: AbortSignal;
  /** Ends the sandbox. */
  readonly exit: (exit: SandboxExit) => void;
  /** Sends an EVENT. */
  readonly event: (name: string, body: string) => void;
  /** The guest's end of the connection, to break the protocol with. */
  readonly connection: Duplex;
}

/**
 * A fake lambda: gets the event's bytes, gives the result. A Buffer is the reply's bytes as they are, anything else
 * becomes JSON; what it throws becomes an `exception`, a SyntaxError (as of JSON.parse) `bad-input`.
 */
export type FakeFunction = (event: Buffer, context: FakeContext) => unknown;

/** Code for fake sandboxes. */
export interface FakeCode {
  /** Runs before `ready`; what it throws is the import error. */
  readonly load?: (context: Pick<FakeContext, "environment" | "exit" | "connection">) => unknown;
  readonly call: FakeFunction;
}

/** Thrown by a fake lambda whose result is to count as not JSON-able. */
export class FakeBadOutput extends Error {}

const kindOf = (error: unknown): string => {
  if (error instanceof FakeBadOutput) return "bad-output";
  return error instanceof SyntaxError ? "bad-input" : "exception";
};

interface Waiting {
  readonly id: number;
  readonly fields: readonly string[];
  readonly parts: Buffer[];
  readonly stop: AbortController;
  complete: boolean;
}

/** A guest runtime in this process: speaks frames, runs one call after the other, as the Python one does. */
export class FakeGuest implements FrameHandler {
  readonly #connection: Duplex;
  readonly #code: FakeCode;
  readonly #environment: Readonly<Record<string, string>>;
  readonly #exit: (exit: SandboxExit) => void;
  readonly #reader: FrameReader = new FrameReader(this);
  readonly #state: Record<string, unknown> = {};
  readonly #calls = new Map<number, Waiting>();
  readonly #credit = new Map<number, number>();
  readonly #credited: (() => void)[] = [];
  #current: Waiting | undefined;
  #currentEnds = false;
  #running = true;
  /** What it wrote while it was frozen; undefined while it is not. */
  #unwritten: (() => void)[] | undefined;

  constructor(
    connection: Duplex,
    code: FakeCode,
    environment: Readonly<Record<string, string>>,
    exit: (exit: SandboxExit) => void,
  ) {
    this.#connection = connection;
    this.#code = code;
    this.#environment = environment;
    this.#exit = exit;
    connection.on("data", (chunk: Buffer) => this.#reader.push(chunk));
    connection.on("error", () => undefined);
    connection.on("close", () => this.stop());
    this.#write(FRAME.hello, 0, 0, `:v\x001\0:window\0${DEFAULT_WINDOW}\0:streams\x0016\0:runtime\0fake`);
    void this.#load();
  }

  /** Reads and says nothing until `thaw`; functions of this process cannot be stopped, but their replies can wait. */
  freeze(): void {
    this.#unwritten ??= [];
    this.#connection.pause();
  }

  thaw(): void {
    const unwritten = this.#unwritten ?? [];
    this.#unwritten = undefined;
    for (const write of unwritten) write();
    this.#connection.resume();
  }

  /** Does and says nothing more. */
  stop(): void {
    this.#reader.stop();
    for (const call of this.#calls.values()) call.stop.abort();
    for (const wake of this.#credited.splice(0)) wake();
  }

  frame(type: number, flags: number, id: number, meta: Buffer, body: Buffer, left: number): void {
    this.#current = undefined;
    if (type === FRAME.call) {
      const fields = decodeMeta(meta);
      this.#current = { id, fields, parts: [], stop: new AbortController(), complete: false };
      this.#calls.set(id, this.#current);
      this.#credit.set(id, DEFAULT_WINDOW);
    } else if (type === FRAME.window) {
      this.#credit.set(id, (this.#credit.get(id) ?? 0) + body.readUInt32BE());
      for (const wake of this.#credited.splice(0)) wake();
    } else if (type === FRAME.reset) {
      if (body.readUInt32BE() === RESET_CODE.refused) this.#giveBack(id);
      else this.#calls.get(id)?.stop.abort();
    } else if (type === FRAME.ping) {
      this.#write(FRAME.ping, END, 0, "", body);
    }
    if (type === FRAME.data) this.#current = this.#calls.get(id);
    this.#currentEnds = flags === END;
    this.#take(body, left);
  }

  more(data: Buffer, left: number): void {
    this.#take(data, left);
  }

  #take(data: Buffer, left: number): void {
    const call = this.#current;
    if (call === undefined) return;
    call.parts.push(data);
    if (left > 0) return;
    call.complete = this.#currentEnds;
    if (!call.complete && data.length > 0)
      this.#write(FRAME.window, 0, call.id, "", encodeUint32(data.length));
    void this.#next();
  }

  /** The first one that is complete runs, or is about to. */
  #giveBack(id: number): void {
    const [first] = this.#calls.keys();
    if (id === first || !this.#calls.delete(id)) return;
    this.#credit.delete(id);
    this.#write(FRAME.reset, 0, id, "", encodeUint32(RESET_CODE.refused));
  }

  async #load(): Promise<void> {
    try {
      const context = { environment: this.#environment, exit: this.#exit, connection: this.#connection };
      await this.#code.load?.(context);
    } catch (error) {
      this.#write(FRAME.event, 0, 0, ":event\0import-error", Buffer.from(messageOf(error)));
      return;
    }
    this.#running = false;
    this.#write(FRAME.event, 0, 0, ":event\0ready");
    void this.#next();
  }

  /** Runs the call that is first in line, if it is there in full. */
  async #next(): Promise<void> {
    const [call] = this.#calls.values();
    if (this.#running || call === undefined || !call.complete) return;
    this.#running = true;
    const [meta, body] = await this.#run(call);
    if (call.stop.signal.aborted) this.#write(FRAME.reset, 0, call.id, "", encodeUint32(RESET_CODE.deadline));
    else await this.#reply(call, meta, body);
    this.#calls.delete(call.id);
    this.#credit.delete(call.id);
    this.#running = false;
    await this.#next();
  }

  async #run(call: Waiting): Promise<[string, Buffer]> {
    const event = Buffer.concat(call.parts);
    try {
      const result = await this.#code.call(event, this.#context(call));
      return ["", Buffer.isBuffer(result) ? result : Buffer.from(JSON.stringify(result ?? null))];
    } catch (error) {
      const kind = kindOf(error);
      const type = error instanceof Error ? error.name : typeof error;
      return [`:error\0${kind}`, Buffer.from(JSON.stringify({ type, message: messageOf(error) }))];
    }
  }

  #context(call: Waiting): FakeContext {
    return {
      invocationId: metaField(call.fields, ":id") ?? "",
      timeoutMs: Number(metaField(call.fields, ":timeout")),
      fields: call.fields,
      environment: this.#environment,
      state: this.#state,
      signal: call.stop.signal,
      exit: this.#exit,
      event: (name, body) => this.#write(FRAME.event, 0, 0, `:event\0${name}`, Buffer.from(body)),
      connection: this.#connection,
    };
  }

  /** Up to 64 KiB at once; what is more goes on in DATA frames as credit allows. */
  async #reply(call: Waiting, meta: string, body: Buffer): Promise<void> {
    let at = Math.min(body.length, 65_536);
    this.#write(FRAME.reply, at === body.length ? END : 0, call.id, meta, body.subarray(0, at));
    while (at < body.length && !this.#connection.destroyed) {
      const credit = this.#credit.get(call.id) ?? 0;
      const end = Math.min(body.length, at + credit);
      if (credit === 0) await new Promise<void>((resolve) => this.#credited.push(resolve));
      else this.#write(FRAME.data, end === body.length ? END : 0, call.id, "", body.subarray(at, end));
      this.#credit.set(call.id, (this.#credit.get(call.id) ?? 0) - (end - at));
      at = end;
    }
  }

  #write(type: number, flags: number, id: number, meta: string, body: Buffer = EMPTY): void {
    if (this.#unwritten !== undefined) this.#unwritten.push(() => this.#write(type, flags, id, meta, body));
    else if (this.#connection.writable) writeFrame(this.#connection, type, flags, id, meta, body);
  }
}
