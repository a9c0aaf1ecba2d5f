import type { OlError } from "@ol/common";

import { cancelledError } from "./frames/call-errors.ts";
import type { Call, CallHandle, ReplySink } from "./frames/call.ts";
import { asNotStarted } from "./not-started.ts";

/** A call that came while its sandbox was paused: nothing of it was written yet. */
class HeldCall implements CallHandle {
  readonly call: Call;
  sink: ReplySink | undefined;
  /** What the connection returned for it, once it was opened. */
  #handle: CallHandle | undefined;
  /** What its caller wrote although there was no room yet. */
  readonly #written: Buffer[] = [];
  #bodyEnded = false;

  constructor(call: Call, sink: ReplySink) {
    this.call = call;
    this.sink = sink;
  }

  attach(handle: CallHandle): void {
    this.#handle = handle;
    for (const data of this.#written.splice(0)) handle.write(data);
    if (this.#bodyEnded) handle.endBody();
  }

  resume(): void {
    this.#handle?.resume();
  }

  abandon(): void {
    this.#drop();
    this.#handle?.abandon();
  }

  cancel(): void {
    if (this.#handle === undefined) this.fail(asNotStarted(cancelledError()));
    else this.#handle.cancel();
  }

  write(data: Buffer): boolean {
    if (this.#handle !== undefined) return this.#handle.write(data);
    if (this.sink === undefined || this.#bodyEnded) return true;
    this.#written.push(data);
    return false;
  }

  endBody(): void {
    this.#bodyEnded = true;
    this.#handle?.endBody();
  }

  /** It is not opened any more. */
  fail(error: OlError): void {
    const { sink } = this;
    this.#drop();
    sink?.fail(error);
  }

  #drop(): void {
    this.sink = undefined;
    this.#written.length = 0;
  }
}

/** Calls that wait for a paused sandbox to run again. */
export class HeldCalls {
  #calls: HeldCall[] = [];

  /** Those that somebody still wants. */
  get size(): number {
    let size = 0;
    for (const { sink } of this.#calls) if (sink !== undefined) size += 1;
    return size;
  }

  add(call: Call, sink: ReplySink): CallHandle {
    const held = new HeldCall(call, sink);
    this.#calls.push(held);
    return held;
  }

  /** Opens them in their order; those that were abandoned meanwhile are dropped. */
  release(open: (call: Call, sink: ReplySink) => CallHandle): void {
    for (const held of this.#take()) if (held.sink !== undefined) held.attach(open(held.call, held.sink));
  }

  /** They all hear `error`, and that they were not started. */
  fail(error: OlError): void {
    for (const held of this.#take()) held.fail(asNotStarted(error));
  }

  #take(): HeldCall[] {
    const calls = this.#calls;
    this.#calls = [];
    return calls;
  }
}
