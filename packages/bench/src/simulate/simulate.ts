import { type AnyPolicy, Dispatcher, type Lease, type Probe, VirtualClock } from "@ol/balancer";

import { quantile } from "../statistics.ts";
import { Random } from "../zygotes/random.ts";
import { Popularity, type SimulatedFunction } from "./functions.ts";
import { SimWorker, type Start } from "./sim-worker.ts";

/** What is simulated. */
export interface ClusterOptions {
  readonly seed: number;
  readonly workers: number;
  readonly slots: number;
  /** Sandboxes that a worker's memory holds, and package sets that its zygotes hold. */
  readonly sandboxes: number;
  readonly zygotes: number;
  /** In front of the same workers; clients take turns. */
  readonly balancers: number;
  readonly functions: readonly SimulatedFunction[];
  readonly skew: number;
  readonly runMs: number;
  readonly warmupMs: number;
  readonly measureMs: number;
}

/** What of the balancer is under trial. */
export interface PolicyUnderTrial {
  /** For people. */
  readonly label: string;
  readonly policy?: string;
  readonly customPolicy?: AnyPolicy;
  readonly loadLow?: number;
  readonly loadHigh?: number;
  /** By what calls are told apart. */
  readonly by: "packages" | "function";
}

/** Who calls. `closed`: so many clients, each calls again when it is answered. `open`: so many calls a second come, whatever happens. */
export type Callers =
  | { readonly kind: "closed"; readonly clients: number }
  | { readonly kind: "open"; readonly perSec: number };

/** What came out, of the measured time. */
export interface SimulationRun {
  readonly perSec: number;
  /** Of the calls that were answered: those that waited for a new sandbox, and those that waited for an import. */
  readonly coldShare: number;
  readonly importShare: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Of all calls, those that were refused. */
  readonly refusedShare: number;
}

/** A client that was refused comes again after this time. */
const REFUSED_MS = 100;

/** One run in virtual time: nothing is started, and the same options give the same result on every machine. */
export const simulateCluster = async (
  options: ClusterOptions,
  trial: PolicyUnderTrial,
  callers: Callers,
): Promise<SimulationRun> => {
  const simulation = new Simulation(options, trial);
  await simulation.run(callers);
  return simulation.result();
};

class Simulation {
  readonly #options: ClusterOptions;
  readonly #clock = new VirtualClock();
  readonly #random: Random;
  readonly #popularity: Popularity;
  readonly #workers: ReadonlyMap<string, SimWorker>;
  readonly #balancers: readonly Dispatcher[];
  readonly #latencies: number[] = [];
  readonly #starts: Record<Start, number> = { warm: 0, zygote: 0, import: 0 };
  #refused = 0;
  #asked = 0;
  #calls = 0;

  constructor(options: ClusterOptions, trial: PolicyUnderTrial) {
    this.#options = options;
    this.#random = new Random(options.seed);
    this.#popularity = new Popularity(options.functions.length, options.skew, this.#random);
    const workers = Array.from(
      { length: options.workers },
      (_, at) =>
        new SimWorker(at, { ...options, reportsKeys: trial.by === "packages" }, this.#clock, options.seed),
    );
    this.#workers = new Map(workers.map((worker) => [new URL(worker.url).host, worker]));
    const { slots } = options;
    const { label: _, by: _by, ...policy } = trial;
    this.#balancers = Array.from({ length: options.balancers }, () =>
      Dispatcher.create({
        ...policy,
        workers: workers.map(({ url }) => ({ url, slots })),
        clock: this.#clock,
        probe: this.#probe(),
      }),
    );
  }

  async run(callers: Callers): Promise<void> {
    const { warmupMs, measureMs } = this.#options;
    const endMs = warmupMs + measureMs;
    if (callers.kind === "closed") for (let at = 0; at < callers.clients; at += 1) this.#client(at);
    else this.#arrive(callers.perSec / 1000);
    await settled();
    while (this.#clock.step(endMs)) if (this.#asked > 0) await this.#answerAll();
    await Promise.all(this.#balancers.map((balancer) => balancer.close()));
  }

  result(): SimulationRun {
    const answered = this.#latencies.length;
    const sorted = this.#latencies.toSorted((one, other) => one - other);
    return {
      perSec: (answered * 1000) / this.#options.measureMs,
      coldShare: (this.#starts.zygote + this.#starts.import) / answered,
      importShare: this.#starts.import / answered,
      p50Ms: quantile(sorted, 0.5),
      p99Ms: quantile(sorted, 0.99),
      refusedShare: this.#refused / (answered + this.#refused),
    };
  }

  /** Calls again and again. */
  #client(at: number): void {
    this.#call(at, (refused) => {
      if (refused) this.#clock.after(REFUSED_MS, () => this.#client(at));
      else this.#client(at);
    });
  }

  #arrive(perMs: number): void {
    this.#clock.after(this.#random.exponential(1 / perMs), () => {
      this.#calls += 1;
      this.#call(this.#calls, () => undefined);
      this.#arrive(perMs);
    });
  }

  #call(caller: number, over: (refused: boolean) => void): void {
    const fn = this.#options.functions[this.#popularity.draw()] as SimulatedFunction;
    const balancer = this.#balancers[caller % this.#balancers.length] as Dispatcher;
    const sinceMs = this.#clock.nowMs();
    balancer.enter(
      { name: fn.name, idempotent: false, client: "" },
      {
        placed: (lease) => this.#placed(lease, fn, sinceMs, over),
        refused: () => {
          if (this.#measures) this.#refused += 1;
          over(true);
        },
      },
    );
  }

  #placed(lease: Lease, fn: SimulatedFunction, sinceMs: number, over: (refused: boolean) => void): void {
    const worker = this.#workers.get(lease.worker.url.host) as SimWorker;
    worker.call(fn, (start) => {
      lease.answered(worker.report());
      lease.release();
      if (this.#measures) {
        this.#starts[start] += 1;
        this.#latencies.push(this.#clock.nowMs() - sinceMs);
      }
      over(false);
    });
  }

  get #measures(): boolean {
    return this.#clock.nowMs() >= this.#options.warmupMs;
  }

  /** Workers are always well here; what their state is goes the way that it goes in reality. */
  #probe(): Probe {
    const answer = async <Value>(value: Value): Promise<Value> => {
      this.#asked += 1;
      return value;
    };
    return {
      status: () => answer({ status: 200, load: undefined }),
      state: ({ host }, since) => answer(this.#workers.get(host)?.state(since)),
      proof: () => Promise.reject(new Error("nobody registers here")),
    };
  }

  /** Virtual time stands still until what was answered has been understood. */
  async #answerAll(): Promise<void> {
    this.#asked = 0;
    await settled();
  }
}

/** After everything that promises have set off. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
