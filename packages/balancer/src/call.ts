import type { OlError } from "@ol/common";

import type { CallRequest, Lease } from "./lease.ts";
import type { Waiting } from "./queue/fair-queue.ts";

/** Who hears what becomes of a call: exactly one of these, once for each time it asks for a worker. */
export interface CallSink {
  placed(lease: Lease): void;
  refused(error: OlError): void;
}

/** A call from when it comes to when it is over: it waits for a worker, or has one. */
export class Call implements Waiting {
  readonly request: CallRequest;
  /** When its caller stops waiting for the reply; Infinity if it did not say. */
  readonly deadlineMs: number;
  /** Until when it may wait in the queue. */
  readonly queueDeadlineMs: number;
  /** Ids of the workers that it was sent to. */
  readonly tried: Set<string> = new Set();
  /** How often it was granted another worker. */
  retries = 0;
  sink: CallSink;
  /** Ends the timer of its wait. */
  stopWaiting: () => void = () => undefined;

  constructor(request: CallRequest, nowMs: number, queueTimeoutMs: number, sink: CallSink) {
    this.request = request;
    this.deadlineMs = nowMs + (request.deadlineMs ?? Number.POSITIVE_INFINITY);
    this.queueDeadlineMs = Math.min(this.deadlineMs, nowMs + queueTimeoutMs);
    this.sink = sink;
  }

  get name(): string {
    return this.request.name;
  }
}
