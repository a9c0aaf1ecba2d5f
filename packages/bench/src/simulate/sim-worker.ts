import type { Clock } from "@ol/balancer";
import { formatLoad, type LoadReport } from "@ol/common";
import { WarmLog } from "@ol/lambda";

import { Random } from "../zygotes/random.ts";
import type { SimulatedFunction } from "./functions.ts";
import { ZygoteSet } from "./zygote-set.ts";

/** What a call had to wait for besides a slot. */
export type Start = "warm" | "zygote" | "import";

/** How a worker is made. */
export interface SimWorkerOptions {
  readonly slots: number;
  /** Sandboxes that its memory holds; more than slots. */
  readonly sandboxes: number;
  /** Package sets that its memory for zygotes holds. */
  readonly zygotes: number;
  /** How long a function's own code runs, on average (exponentially distributed). */
  readonly runMs: number;
  /** Whether it reports its functions' packages. */
  readonly reportsKeys: boolean;
}

/** What a sandbox takes that is there, and one that is forked, besides importing; in ms, as docs/benchmarks.md has them. */
const WARM_MS = 1;
const FORK_MS = 15;
/** As the worker's own limit for calls that wait. */
const WAIT_MS = 10_000;
const LIMIT_MS = 30_000;

/** Places of calls that have gone, before the queue is moved up. */
const MOST_HOLES = 1_000;

interface Waiting {
  readonly fn: SimulatedFunction;
  readonly done: (start: Start) => void;
}

/**
 * A worker in virtual time: slots, sandboxes that are kept until their memory is wanted (the one used longest ago goes first),
 * zygotes of package sets. It reports as a real one does. A slot is taken while a sandbox is made: imports use the CPU.
 */
export class SimWorker {
  readonly url: string;
  readonly #options: SimWorkerOptions;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #log = new WarmLog(1);
  readonly #zygotes: ZygoteSet;
  readonly #known = new Map<string, SimulatedFunction>();
  /** Idle sandboxes, those used longest ago first: the name of each one's function. */
  readonly #idle = new Map<number, string>();
  /** The same by function, those used last at the end. */
  readonly #idleOf = new Map<string, number[]>();
  /** Sandboxes of each function. */
  readonly #alive = new Map<string, number>();
  readonly #queue: Waiting[] = [];
  #head = 0;
  #busy = 0;
  #made = 0;

  constructor(number: number, options: SimWorkerOptions, clock: Clock, seed: number) {
    this.url = `http://worker-${number}:8080`;
    this.#options = options;
    this.#clock = clock;
    this.#random = new Random(seed * 100_003 + number);
    this.#zygotes = new ZygoteSet(options.zygotes);
  }

  /** Runs a call; `done` hears when it is over. */
  call(fn: SimulatedFunction, done: (start: Start) => void): void {
    if (!this.#known.has(fn.name)) {
      this.#known.set(fn.name, fn);
      this.#log.note("~", fn.name);
    }
    this.#queue.push({ fn, done });
    this.#pump();
  }

  load(): LoadReport {
    return {
      slots: this.#options.slots,
      busy: this.#busy,
      queue: this.#queue.length - this.#head,
      memory: (this.#idle.size + this.#busy) / this.#options.sandboxes,
      draining: false,
    };
  }

  /** X-OL-Load and X-OL-Warm. */
  report(): { readonly load: string; readonly warm: string } {
    return { load: formatLoad(this.load()), warm: this.#log.text };
  }

  /** What it answers to GET /state. */
  state(since: number | undefined): unknown {
    const changes = since === undefined ? undefined : this.#log.since(since);
    const named =
      changes === undefined
        ? [...this.#known.values()]
        : [...new Set(changes.map(({ name }) => name))].flatMap((name) => this.#known.get(name) ?? []);
    const common = {
      v: 1,
      load: this.load(),
      epoch: this.#log.epoch,
      waitMs: WAIT_MS,
      zygotes: this.#zygotes.keys,
      functions: named.map((fn) => this.#factsOf(fn)),
    };
    return changes === undefined
      ? { ...common, warm: [...this.#alive.keys()] }
      : { ...common, since, changes: changes.map(({ kind, name }) => kind + name) };
  }

  #factsOf({ name, key, importMs }: SimulatedFunction): Readonly<Record<string, unknown>> {
    const { reportsKeys, runMs } = this.#options;
    return {
      name,
      ...(reportsKeys && { key }),
      limitMs: LIMIT_MS,
      runMs,
      startMs: FORK_MS + importMs,
    };
  }

  #pump(): void {
    while (this.#busy < this.#options.slots && this.#head < this.#queue.length) {
      const waiting = this.#queue[this.#head] as Waiting;
      this.#head += 1;
      this.#run(waiting);
    }
    if (this.#head > MOST_HOLES && this.#head * 2 > this.#queue.length) {
      this.#queue.splice(0, this.#head);
      this.#head = 0;
    }
  }

  #run({ fn, done }: Waiting): void {
    this.#busy += 1;
    const warm = this.#idleOf.get(fn.name)?.pop();
    if (warm !== undefined) this.#idle.delete(warm);
    const start = warm !== undefined ? "warm" : this.#zygotes.has(fn.key) ? "zygote" : "import";
    if (warm === undefined) this.#make(fn);
    const startMs = start === "warm" ? WARM_MS : FORK_MS + (start === "import" ? fn.importMs : 0);
    const runMs = this.#random.exponential(this.#options.runMs);
    this.#clock.after(startMs + runMs, () => {
      this.#busy -= 1;
      this.#made += 1;
      this.#idle.set(this.#made, fn.name);
      const others = this.#idleOf.get(fn.name);
      if (others === undefined) this.#idleOf.set(fn.name, [this.#made]);
      else others.push(this.#made);
      this.#pump();
      done(start);
    });
  }

  /** Makes room for one more sandbox. */
  #make(fn: SimulatedFunction): void {
    this.#zygotes.started(fn.key, fn.importMs, this.#clock.nowMs());
    // `#busy` counts this one already.
    if (this.#idle.size + this.#busy > this.#options.sandboxes) this.#evict();
    const alive = this.#alive.get(fn.name) ?? 0;
    this.#alive.set(fn.name, alive + 1);
    if (alive === 0) this.#log.note("+", fn.name);
  }

  #evict(): void {
    for (const [sandbox, name] of this.#idle) {
      this.#idle.delete(sandbox);
      const idle = this.#idleOf.get(name) ?? [];
      idle.splice(idle.indexOf(sandbox), 1);
      if (idle.length === 0) this.#idleOf.delete(name);
      const alive = (this.#alive.get(name) ?? 1) - 1;
      if (alive > 0) this.#alive.set(name, alive);
      else {
        this.#alive.delete(name);
        this.#log.note("-", name);
      }
      return;
    }
  }
}
