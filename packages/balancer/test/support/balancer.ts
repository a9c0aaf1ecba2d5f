import { type LoadReport, OlError } from "@ol/common";

import { Dispatcher } from "../../src/dispatcher.ts";
import type { CallRequest, Lease } from "../../src/lease.ts";
import type { Membership } from "../../src/membership/membership.ts";
import type { DispatcherOptions, WorkerAddress } from "../../src/options.ts";
import type { Probe } from "../../src/probe.ts";
import { VirtualClock } from "../../src/virtual-clock.ts";
import { loadOf } from "./workers.ts";

/** What a worker answers when it is asked; what throws is no answer. */
export interface ProbedWorker {
  status: () => number;
  load: Partial<LoadReport>;
  /** Fields of /state besides the load. */
  state: Record<string, unknown>;
}

/** Workers that answer probes as the test says. */
export class FakeProbe implements Probe {
  readonly workers = new Map<string, ProbedWorker>();
  /** Hosts whose state was asked for, and since which epoch. */
  readonly asked: (readonly [string, number | undefined])[] = [];

  of(url: URL | string): ProbedWorker {
    const { host } = new URL(url);
    let worker = this.workers.get(host);
    if (worker === undefined) {
      worker = { status: () => 200, load: {}, state: { epoch: 1, warm: [] } };
      this.workers.set(host, worker);
    }
    return worker;
  }

  async status(url: URL): Promise<{ status: number; load: undefined }> {
    return { status: this.of(url).status(), load: undefined };
  }

  async state(url: URL, since: number | undefined): Promise<unknown> {
    this.asked.push([url.host, since]);
    const { load, state } = this.of(url);
    return { v: 1, load: loadOf(load), ...state };
  }

  async proof(_url: URL, _id: string, _nonce: string): Promise<string> {
    throw new Error("nobody asks for it here");
  }
}

/** Tells of workers when the test says so. */
export class ToldSource implements Membership {
  readonly name = "test";
  tell: (workers: readonly WorkerAddress[]) => void = () => undefined;
  closed = false;

  start(tell: (workers: readonly WorkerAddress[]) => void): Promise<void> {
    this.tell = tell;
    return Promise.resolve();
  }

  async close(): Promise<void> {
    this.closed = true;
  }
}

/** A call's way through the dispatcher. */
export interface Sent {
  readonly name: string;
  lease: Lease | undefined;
  error: OlError | undefined;
  /** Takes it out of the queue. */
  leave: (() => boolean) | undefined;
}

/** A dispatcher in virtual time over workers called w0, w1 ..., with 4 slots each. */
export class TestBalancer {
  readonly clock: VirtualClock = new VirtualClock();
  readonly probe: FakeProbe = new FakeProbe();
  readonly dispatcher: Dispatcher;

  constructor(workers: number, options: DispatcherOptions = {}) {
    this.dispatcher = Dispatcher.create({
      workers: Array.from({ length: workers }, (_, at) => ({
        id: `w${at}`,
        url: `http://w${at}:80`,
        slots: 4,
      })),
      watch: false,
      clock: this.clock,
      probe: this.probe,
      ...options,
    });
  }

  send(name: string, more: Partial<CallRequest> = {}): Sent {
    const sent: Sent = { name, lease: undefined, error: undefined, leave: undefined };
    const request = { name, idempotent: false, client: "127.0.0.1", ...more };
    sent.leave = this.dispatcher.enter(request, {
      placed: (lease) => (sent.lease = lease),
      refused: (error) => (sent.error = error),
    });
    return sent;
  }

  sendMany(count: number, name: string): Sent[] {
    return Array.from({ length: count }, () => this.send(name));
  }

  /** Lets virtual time pass, and answers to probes arrive in between. */
  async pass(ms: number): Promise<void> {
    const untilMs = this.clock.nowMs() + ms;
    await settled();
    while (this.clock.step(untilMs)) await settled();
    this.clock.advance(untilMs - this.clock.nowMs());
    await settled();
  }

  worker(id: string): ReturnType<Dispatcher["snapshot"]>["workers"][number] {
    const worker = this.dispatcher.snapshot().workers.find((one) => one.id === id);
    if (worker === undefined) throw new Error(`there is no ${id}`);
    return worker;
  }

  /** Has three calls fail to connect to the worker, which must be the only one that gets calls to `name`. */
  eject(name: string): string {
    let id = "";
    for (let count = 0; count < 3; count += 1) {
      const { lease } = this.send(name);
      lease?.failed("connect", true);
      lease?.release();
      id = lease?.worker.id ?? "";
    }
    return id;
  }
}

/** After what is waited for by promises that are settled already. */
export const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** The signal of a client that stays. */
export const NEVER: AbortSignal = new AbortController().signal;
