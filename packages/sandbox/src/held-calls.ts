import type { OlError } from "@ol/common";

import type { Call, CallHandle, ReplySink } from "./frames/call.ts";
import { asNotStarted } from "./not-started.ts";

/** A call that came while its sandbox was paused: nothing of it was written yet. */
class HeldCall implements CallHandle {
  readonly call: Call;
  sink: ReplySink | undefined;
  /** What the connection returned for it, once it was opened. */
  handle: CallHandle | undefined;

  constructor(call: Call, sink: ReplySink) {
    this.call = call;
    this.sink = sink;
  }

  resume(): void {
    this.handle?.resume();
  }

  abandon(): void {
    this.sink = undefined;
    this.handle?.abandon();
  }
}

/** Calls that wait for a paused sandbox to run again. */
export class HeldCalls {
  #calls: HeldCall[] = [];

  get size(): number {
    return this.#calls.length;
  }

  add(call: Call, sink: ReplySink): CallHandle {
    const held = new HeldCall(call, sink);
    this.#calls.push(held);
    return held;
  }

  /** Opens them in their order; those that were abandoned meanwhile are dropped. */
  release(open: (call: Call, sink: ReplySink) => CallHandle): void {
    for (const held of this.#take()) if (held.sink !== undefined) held.handle = open(held.call, held.sink);
  }

  /** They all hear `error`, and that they were not started. */
  fail(error: OlError): void {
    for (const held of this.#take()) held.sink?.fail(asNotStarted(error));
  }

  #take(): HeldCall[] {
    const calls = this.#calls;
    this.#calls = [];
    return calls;
  }
}
