import type { Duplex } from "node:stream";

import { messageOf } from "@ol/common";

import type { SandboxExit, SandboxSpec } from "../engine.ts";
import type { CodeKind } from "../frames/call.ts";
import { DEFAULT_WINDOW, EMPTY, END, FRAME, RESET_CODE, decodeMeta, writeFrame } from "../frames/codec.ts";
import { type FrameHandler, FrameReader } from "../frames/reader.ts";
import type { ImportReport } from "../imports.ts";
import { FakeAppReply, FakeCall, type FakeReply, type FakeRequest } from "./fake-call.ts";

/** What a fake lambda sees besides its event. */
export interface FakeContext {
  readonly invocationId: string;
  readonly timeoutMs: number;
  /** Fields of the frame that opened the call, as they came: name, value, ... */
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

/**
 * A fake web app. What it throws before its reply has begun becomes an `exception`, what it throws later breaks the reply
 * off.
 */
export type FakeApp = (request: FakeRequest, reply: FakeReply, context: FakeContext) => unknown;

interface FakeLoad {
  /** Runs before `ready`; what it throws is the import error. */
  readonly load?: (
    context: Pick<FakeContext, "environment" | "exit" | "connection">,
    spec: SandboxSpec,
  ) => unknown;
  /** What it says to have imported, in a sandbox that has packages; default: nothing. */
  readonly imports?: (spec: SandboxSpec) => ImportReport;
}

/** Code for fake sandboxes. */
export type FakeCode =
  | (FakeLoad & { readonly kind?: "function"; readonly call: FakeFunction })
  | (FakeLoad & { readonly kind: "wsgi" | "asgi"; readonly app: FakeApp });

/** Thrown by a fake lambda whose result is to count as not JSON-able. */
export class FakeBadOutput extends Error {}

const failureBody = (error: unknown): Buffer => {
  const type = error instanceof Error ? error.name : typeof error;
  return Buffer.from(JSON.stringify({ type, message: messageOf(error) }));
};

const kindOf = (error: unknown): string => {
  if (error instanceof FakeBadOutput) return "bad-output";
  return error instanceof SyntaxError ? "bad-input" : "exception";
};

/** A guest runtime in this process: speaks frames, runs its calls one after the other or all at once, as the Python one does. */
export class FakeGuest implements FrameHandler {
  readonly #connection: Duplex;
  readonly #code: FakeCode;
  readonly #spec: SandboxSpec;
  readonly #exit: (exit: SandboxExit) => void;
  readonly #reader: FrameReader = new FrameReader(this);
  readonly #state: Record<string, unknown> = {};
  /** Those that are not over, in the order in which they came. */
  readonly #calls = new Map<number, FakeCall>();
  #current: FakeCall | undefined;
  #currentFlags = 0;
  #loaded = false;
  #stopped = false;
  /** What it wrote while it was frozen; undefined while it is not. */
  #unwritten: (() => void)[] | undefined;

  constructor(connection: Duplex, code: FakeCode, spec: SandboxSpec, exit: (exit: SandboxExit) => void) {
    this.#connection = connection;
    this.#code = code;
    this.#spec = spec;
    this.#exit = exit;
    connection.on("data", (chunk: Buffer) => this.#reader.push(chunk));
    connection.on("error", () => undefined);
    connection.on("close", () => this.stop());
    const window = `:window\0${DEFAULT_WINDOW}`;
    this.#write(FRAME.hello, 0, 0, `:v\x001\0${window}\0:streams\x0016\0:kinds\0call http\0:runtime\0fake`);
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
    this.#stopped = true;
    this.#reader.stop();
    for (const call of this.#calls.values()) call.stop(0);
  }

  frame(type: number, flags: number, id: number, meta: Buffer, body: Buffer, left: number): void {
    this.#current = undefined;
    this.#currentFlags = flags;
    if (type === FRAME.call || type === FRAME.http) {
      this.#current = new FakeCall(id, decodeMeta(meta), type === FRAME.http, this.#write);
      this.#calls.set(id, this.#current);
    } else if (type === FRAME.window) {
      this.#calls.get(id)?.credit(body.readUInt32BE());
    } else if (type === FRAME.reset) {
      this.#reset(this.#calls.get(id), body.readUInt32BE());
    } else if (type === FRAME.ping) {
      this.#write(FRAME.ping, END, 0, "", body);
    }
    if (type === FRAME.data) this.#current = this.#calls.get(id);
    this.#take(body, left, type === FRAME.data);
  }

  more(data: Buffer, left: number): void {
    // Only DATA comes in pieces.
    this.#take(data, left, true);
  }

  #take(data: Buffer, left: number, inData: boolean): void {
    const call = this.#current;
    if (call === undefined) return;
    call.take(data, inData);
    if (left > 0) return;
    call.taken(this.#currentFlags === END);
    // An app takes what has come when it wants it.
    if (!this.#isApp(call)) call.giveCredit();
    // As the Python one it takes in all that has come before it begins another.
    queueMicrotask(() => this.#runNext());
  }

  #isApp(call: FakeCall): boolean {
    return call.http && this.#kind !== "function";
  }

  get #kind(): CodeKind {
    return this.#code.kind ?? "function";
  }

  /** Of a call that has begun the code decides when it is over; that it was asked back it need not know. */
  #reset(call: FakeCall | undefined, code: number): void {
    if (call === undefined) return;
    if (!call.begun) {
      this.#calls.delete(call.id);
      call.sendReset(code);
      this.#runNext();
    } else if (code !== RESET_CODE.refused) {
      call.stop(code);
    }
  }

  async #load(): Promise<void> {
    try {
      const context = { environment: this.#spec.environment, exit: this.#exit, connection: this.#connection };
      await this.#code.load?.(context, this.#spec);
    } catch (error) {
      this.#write(FRAME.event, 0, 0, ":event\0import-error", Buffer.from(messageOf(error)));
      return;
    }
    this.#loaded = true;
    if ((this.#spec.packages ?? []).length > 0) {
      const report = this.#code.imports?.(this.#spec) ?? { packages: [] };
      this.#write(FRAME.event, 0, 0, ":event\0imports", Buffer.from(JSON.stringify(report)));
    }
    this.#write(FRAME.event, 0, 0, `:event\0ready\0:kind\0${this.#kind}`);
    this.#runNext();
  }

  /** Runs what can run: all of them, or the first in line. An app begins before the body is there in full. */
  #runNext(): void {
    if (!this.#loaded || this.#stopped) return;
    for (const call of this.#calls.values()) {
      if (!call.begun && (call.complete || this.#isApp(call))) void this.#run(call);
      if (this.#kind !== "asgi") return;
    }
  }

  async #run(call: FakeCall): Promise<void> {
    call.begun = true;
    try {
      await this.#answer(call);
    } catch (error) {
      // Whoever has heard that it is to end need not be told why it did.
      if (!call.signal.aborted) throw error;
    }
    if (call.signal.aborted) call.sendReset(call.resetCode);
    this.#calls.delete(call.id);
    this.#runNext();
  }

  async #answer(call: FakeCall): Promise<void> {
    const code = this.#code;
    try {
      if ("app" in code) await this.#runApp(code.app, call);
      else await this.#runFunction(code.call, call);
    } catch (error) {
      call.signal.throwIfAborted();
      if (call.replied) call.sendReset(RESET_CODE.failed);
      else await call.send(`:error\0${kindOf(error)}`, failureBody(error), true);
    }
  }

  async #runFunction(run: FakeFunction, call: FakeCall): Promise<void> {
    const event = call.whole();
    const result = await run(event.length === 0 ? Buffer.from("{}") : event, this.#context(call));
    await call.send("", Buffer.isBuffer(result) ? result : Buffer.from(JSON.stringify(result ?? null)), true);
  }

  async #runApp(run: FakeApp, call: FakeCall): Promise<void> {
    const request = {
      method: call.field(":method"),
      mount: call.field(":mount"),
      path: call.field(":path"),
      query: call.field(":query"),
      client: call.field(":client"),
      body: call.pieces(),
    };
    await run(request, new FakeAppReply(call), this.#context(call));
    if (!call.ended) throw new Error("the app returned without a complete reply");
  }

  #context(call: FakeCall): FakeContext {
    return {
      invocationId: call.field(":id"),
      timeoutMs: Number(call.field(":timeout")),
      fields: call.fields,
      environment: this.#spec.environment,
      state: this.#state,
      signal: call.signal,
      exit: this.#exit,
      event: (name, body) => this.#write(FRAME.event, 0, 0, `:event\0${name}`, Buffer.from(body)),
      connection: this.#connection,
    };
  }

  readonly #write = (type: number, flags: number, id: number, meta: string, body: Buffer = EMPTY): void => {
    if (this.#unwritten !== undefined) this.#unwritten.push(() => this.#write(type, flags, id, meta, body));
    else if (this.#connection.writable) writeFrame(this.#connection, type, flags, id, meta, body);
  };
}
