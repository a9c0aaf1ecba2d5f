import { rm } from "node:fs/promises";
import { join } from "node:path";

import { callClosed, callOpen, type CallTarget } from "../cluster/callers.ts";
import { type Figures, figuresOf } from "../cluster/outcome.ts";
import type { CallRun, CallTimes } from "../cluster/players.ts";
import { cpuUsOf } from "../cpu.ts";
import { type CallPattern, countedBy, sourceOf } from "../virtual/call-pattern.ts";
import { type BenchSite, type BenchWorker, startWorker } from "../worker.ts";
import { readTracedCalls, type TracedCall } from "./traced-calls.ts";
import { treeCpuMs } from "./tree-cpu.ts";

/** A real worker that knows nothing yet. */
export interface RealWorkerOptions {
  readonly site: BenchSite;
  readonly python: string;
  readonly slots: number;
  readonly memoryMb: number;
  readonly sandboxMb: number;
  readonly settings: Readonly<Record<string, unknown>>;
}

/** What is played to it. */
export interface RealPlay {
  readonly calls: CallPattern;
  readonly seed: number;
  /** Of the lambdas, by their place. */
  readonly names: readonly string[];
  readonly warmupMs: number;
  readonly measureMs: number;
}

/** What came of it. */
export interface RealRun {
  readonly figures: Figures;
  /** CPU time for each call of the measured time: this process's, the worker's, and the worker's with all that it started. */
  readonly clientMs: number;
  readonly workerMs: number;
  readonly treeMs: number;
  /** What each sandbox held in the end, on average; undefined if there was none. */
  readonly heldMb: number | undefined;
}

/** Of `/stats`, what is wanted here. */
interface WorkerStats {
  readonly zygotes?: { readonly uses: { readonly partial: number; readonly miss: number } };
  readonly pool: { readonly sandboxes: number; readonly usedMb: number };
}

/** Used since the process began, in ms. */
interface Usage {
  readonly imports: number;
  readonly client: number;
  readonly worker: number;
  readonly tree: number;
  readonly heldMb: number | undefined;
}

const NAME = "validated";
const US_PER_MS = 1_000;

/** A worker under trial, with its trace. */
export class RealWorker implements AsyncDisposable {
  readonly #worker: BenchWorker;
  readonly #trace: string;

  static async start({
    site,
    python,
    slots,
    memoryMb,
    sandboxMb,
    settings,
  }: RealWorkerOptions): Promise<RealWorker> {
    const trace = join(site.directory, `${NAME}.jsonl`);
    // A worker goes on with a trace that is there, and with what it knew of zygotes.
    for (const left of [trace, join(site.directory, NAME)]) await rm(left, { recursive: true, force: true });
    const ours = { worker_slots: slots, limits: { mem_mb: sandboxMb }, trace };
    return new RealWorker(
      await startWorker({ site, name: NAME, python, memoryMb, settings: { ...ours, ...settings } }),
      trace,
    );
  }

  private constructor(worker: BenchWorker, trace: string) {
    this.#worker = worker;
    this.#trace = trace;
  }

  async play({ calls, seed, names, warmupMs, measureMs }: RealPlay): Promise<RealRun> {
    const target = { port: this.#worker.port, names, source: sourceOf(calls.draw, names.length, seed) };
    let before = await this.#usage();
    let after = before;
    const { outcomes, window } = await callAs(calls, target, {
      warmupMs,
      measureMs,
      began: async () => void (before = await this.#usage()),
      ended: async () => void (after = await this.#usage()),
    });
    const figures = figuresOf(outcomes, window, countedBy(calls), after.imports - before.imports);
    const answered = (figures.perSec * (window.toMs - window.fromMs)) / 1_000;
    // Those under way in the end have had half of what they take; if some were in the beginning too, that is made up for.
    const underWay = calls.kind === "closed" && warmupMs === 0 ? calls.clients / 2 : 0;
    const each = (what: "client" | "worker" | "tree"): number =>
      (after[what] - before[what]) / Math.max(answered + underWay, 1);
    const { heldMb } = after;
    return { figures, clientMs: each("client"), workerMs: each("worker"), treeMs: each("tree"), heldMb };
  }

  /** Ends it; its calls as its trace has them. */
  async stop(): Promise<readonly TracedCall[]> {
    await this[Symbol.asyncDispose]();
    return readTracedCalls(this.#trace);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker[Symbol.asyncDispose]();
  }

  async #usage(): Promise<Usage> {
    const { zygotes, pool } = (await this.#worker.stats()) as WorkerStats;
    const { user, system } = process.cpuUsage();
    return {
      imports: (zygotes?.uses.partial ?? 0) + (zygotes?.uses.miss ?? 0),
      client: (user + system) / US_PER_MS,
      worker: (await cpuUsOf(this.#worker.pid)) / US_PER_MS,
      tree: await treeCpuMs(this.#worker.pid),
      heldMb: pool.sandboxes === 0 ? undefined : pool.usedMb / pool.sandboxes,
    };
  }
}

const callAs = (pattern: CallPattern, target: CallTarget, times: CallTimes): Promise<CallRun> =>
  pattern.kind === "closed"
    ? callClosed(target, pattern.clients, times)
    : callOpen(target, pattern.perSec, times);
