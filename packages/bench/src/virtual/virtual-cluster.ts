import { Dispatcher, type Lease, type Probe } from "@ol/balancer";
import { isOlError, type OlError } from "@ol/common";

import type { Machine } from "./machine.ts";
import { OneThread } from "./shared-cpu.ts";
import { statusOf, type VirtualReply, type VirtualWorker } from "./virtual-worker.ts";

/** How a balancer is configured; plain data. */
export interface VirtualBalancerOptions {
  readonly policy: string;
  readonly loadLow?: number;
  readonly loadHigh?: number;
}

/** What a worker says that did not begin a call, and the balancer gives to another one. */
const BUSY = 503;

/** Workers behind a balancer, whose dispatcher is the real one. */
export class VirtualCluster implements AsyncDisposable {
  readonly #workers: ReadonlyMap<string, VirtualWorker>;
  readonly #dispatcher: Dispatcher;
  readonly #process: OneThread;
  readonly #machine: Machine;

  /** `slots`: of each worker. The workers stay their maker's. */
  constructor(
    machine: Machine,
    workers: readonly VirtualWorker[],
    slots: number,
    options: VirtualBalancerOptions,
  ) {
    this.#machine = machine;
    this.#process = new OneThread(machine.cpu);
    const urls = workers.map((_, at) => `http://worker-${at}:8080`);
    this.#workers = new Map(urls.map((url, at) => [new URL(url).host, workers[at] as VirtualWorker]));
    this.#dispatcher = Dispatcher.create({
      ...options,
      workers: urls.map((url) => ({ url, slots })),
      probe: this.#probe(),
    });
  }

  /** Settles when the call is answered. */
  async call(name: string): Promise<VirtualReply> {
    await this.#process.run(this.#machine.costs.balancerMs);
    const first = await this.#enter(name);
    if (first instanceof Error) return { error: first, started: false, phases: undefined };
    for (let lease = first; ;) {
      const worker = this.#workers.get(lease.worker.url.host) as VirtualWorker;
      const reply = await worker.call(name);
      lease.answered(worker.report());
      const next = statusOf(reply) === BUSY && !reply.started ? await again(lease) : undefined;
      if (next === undefined) {
        lease.release();
        return reply;
      }
      lease = next;
    }
  }

  #enter(name: string): Promise<Lease | OlError> {
    return new Promise((resolve) => {
      const request = { name, idempotent: false, client: "" };
      this.#dispatcher.enter(request, { placed: resolve, refused: resolve });
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#dispatcher.close();
  }

  /** Workers are always well here; what their state is goes the way that it goes in reality. */
  #probe(): Probe {
    return {
      status: async () => ({ status: 200, load: undefined }),
      state: async ({ host }, since) => this.#workers.get(host)?.state(since),
      proof: () => Promise.reject(new Error("nobody registers here")),
    };
  }
}

/** Another worker for the call; undefined if there is none that has room, and what the first said is all that there is to say. */
const again = async (lease: Lease): Promise<Lease | undefined> => {
  lease.failed("protocol", true);
  try {
    return await lease.again(new AbortController().signal);
  } catch (error) {
    if (isOlError(error)) return undefined;
    throw error;
  }
};
