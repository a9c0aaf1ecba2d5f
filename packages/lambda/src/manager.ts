import { availableParallelism } from "node:os";

import { parseReference } from "@ol/bundle";
import { isOlError, type LoadReport, messageOf, type OlError, silentLogger } from "@ol/common";
import type { AcquireOptions, ReplySink, Sandbox, SandboxSpec } from "@ol/sandbox";

import { makeAutoscaler } from "./autoscaler.ts";
import { CHANNELS } from "./channels.ts";
import { lambdaError } from "./errors.ts";
import type { Instance } from "./instance.ts";
import type { FunctionHost } from "./function-host.ts";
import { LambdaFunction } from "./lambda-function.ts";
import { Lingering } from "./lingering.ts";
import type { LambdaManagerOptions, ResolvedOptions } from "./options.ts";
import type { Invocation, LambdaRequest } from "./pending-call.ts";
import { type InstalledSet, NO_PACKAGE_SOURCE } from "./packages/package-source.ts";
import type { LambdaInfo } from "./profile.ts";
import type { ReportedFunction, ReportedState } from "./reported.ts";
import { Slots } from "./slots.ts";
import { CallCounter, type LambdaStats, type SandboxStats } from "./stats.ts";
import { UnreadReplies } from "./unread-replies.ts";
import { WarmLog } from "./warm-log.ts";

const DEFAULT_QUEUED_PER_FUNCTION = 1_000;
const DEFAULT_QUEUED = 4_000;
const DEFAULT_UNREAD_BYTES = 64 * 1024 * 1024;
const DEFAULT_IDLE_MS = 600_000;
const DEFAULT_SURPLUS_MS = 60_000;
const DEFAULT_INSTALL_WAIT_MS = 30_000;
/** Pausing and resuming cost about a thousandth of it (docs/benchmarks.md). */
const DEFAULT_PAUSE_LINGER_MS = 1_000;
/** How often idle sandboxes and functions are looked for; they live up to this much longer. */
const SWEEP_MS = 5_000;

/** How often the source is asked which lambdas are to be kept warm. */
const KEPT_MS = 30_000;

/** running: takes calls · draining: finishes what it has · closed. */
type ManagerState = "running" | "draining" | "closed";

/** Every function of a worker: finds them by name, loads and forgets them, and shares slots and memory out. */
export class LambdaManager implements FunctionHost, AsyncDisposable {
  readonly options: ResolvedOptions;
  readonly slots: Slots;
  readonly counter: CallCounter = new CallCounter();
  readonly unread: UnreadReplies;
  readonly changes: WarmLog = new WarmLog();
  queued = 0;
  #state: ManagerState = "running";
  readonly #functions = new Map<string, LambdaFunction>();
  /** Functions without code that still finish calls. */
  readonly #retired = new Set<LambdaFunction>();
  readonly sandboxes: Map<string, Instance> = new Map();
  readonly #destroying = new Set<Promise<void>>();
  /** Sandboxes that end by themselves in a moment. */
  readonly #ending = new Set<Sandbox>();
  readonly #sweeper: NodeJS.Timeout;
  readonly #lingering: Lingering;
  readonly #unlisten: (() => void)[];
  /** Share of the pool's memory that is promised; kept, since every reply reports it. */
  #memoryShare = 0;
  #drained: (() => void)[] = [];
  /** When it was last asked which functions are to be kept warm; undefined if it never was. */
  #keptMs: number | undefined;

  constructor(options: LambdaManagerOptions) {
    this.options = {
      packages: NO_PACKAGE_SOURCE,
      installWaitMs: DEFAULT_INSTALL_WAIT_MS,
      maxInstances: options.slots,
      autoscaler: makeAutoscaler,
      cpus: availableParallelism(),
      maxQueuedPerFunction: DEFAULT_QUEUED_PER_FUNCTION,
      maxQueued: DEFAULT_QUEUED,
      maxUnreadBytes: DEFAULT_UNREAD_BYTES,
      pauseLingerMs: DEFAULT_PAUSE_LINGER_MS,
      idleSandboxMs: DEFAULT_IDLE_MS,
      surplusSandboxMs: DEFAULT_SURPLUS_MS,
      idleFunctionMs: DEFAULT_IDLE_MS,
      logger: silentLogger,
      ...options,
    };
    this.slots = new Slots(options.slots);
    this.unread = new UnreadReplies(this.options.maxUnreadBytes);
    this.#lingering = new Lingering(this.options.pauseLingerMs, this.sandboxes, this.options.logger);
    this.#sweeper = setInterval(() => this.sweep(performance.now()), SWEEP_MS).unref();
    const share = (): void => this.#updateMemoryShare();
    this.#unlisten = [
      options.pool.on("destroying", (sandbox) => this.#sandboxEnding(sandbox)),
      options.pool.on("create", share),
      options.pool.on("create", () => this.#lingering.note()),
      options.pool.on("resumed", () => this.#lingering.note()),
      options.pool.on("destroy", share),
      options.pool.on("destroy", (sandbox) => this.#ending.delete(sandbox)),
    ];
  }

  /**
   * What is known of a function, at once if it is known already. Fails with OL_LAMBDA_UNKNOWN, OL_BUNDLE_BAD_NAME,
   * OL_LAMBDA_DRAINING, or whatever its code is broken by.
   */
  describe(name: string): LambdaInfo | Promise<LambdaInfo> {
    const refusal = this.#refusal();
    if (refusal !== undefined) return Promise.reject(refusal);
    try {
      return this.#functionOf(name).info();
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * As `describe`, with the code's kind, for which a sandbox may have to load it first. Fails also as a call does for which
   * there is no sandbox.
   */
  learn(name: string): Promise<LambdaInfo> {
    const refusal = this.#refusal();
    return refusal === undefined ? this.#functionOf(name).learn() : Promise.reject(refusal);
  }

  /** Whether it takes calls. */
  get running(): boolean {
    return this.#state === "running";
  }

  /**
   * Makes ready the functions that are to be kept warm, now and whenever new ones appear. Settles when it is known which
   * they are and their sandboxes are on their way; never rejects.
   */
  async keepWarm(): Promise<void> {
    this.#keptMs = performance.now();
    try {
      const names = await this.options.source.kept(AbortSignal.timeout(KEPT_MS));
      if (this.running) await Promise.all(names.map((name) => this.#functionOf(name).warm()));
    } catch (error) {
      this.options.logger.warn("could not find out which lambdas are to be kept warm", {
        error: messageOf(error),
      });
    }
  }

  /** Runs a function; the sink hears of every error. */
  invoke(name: string, request: LambdaRequest, sink: ReplySink): Invocation {
    try {
      const refusal = this.#refusal();
      if (refusal !== undefined) throw refusal;
      return this.#functionOf(name).invoke(request, sink);
    } catch (error) {
      if (!isOlError(error)) throw error;
      this.counter.accepted += 1;
      this.counter.refused += 1;
      this.counter.countError(error.code);
      const channel = CHANNELS["ol:queue:refuse"];
      if (channel.hasSubscribers) {
        const { invocationId } = request;
        channel.publish({ lambda: name, invocationId, waitedMs: 0, code: error.code });
      }
      sink.fail(error);
      return NEVER_STARTED;
    }
  }

  acquire(spec: SandboxSpec, packages: InstalledSet, options: AcquireOptions): Promise<Sandbox> {
    const { zygotes, pool } = this.options;
    return zygotes === undefined ? pool.acquire(spec, options) : zygotes.acquire(spec, packages, options);
  }

  /** What a balancer wants to know with every reply. */
  load(): LoadReport {
    return {
      slots: this.slots.total,
      busy: this.slots.busy,
      queue: this.queued,
      memory: this.#memoryShare,
      draining: this.#state !== "running",
    };
  }

  /** What balancers want to know, or what of it has changed since the epoch that they know, if that is still known. */
  reported(since?: number): ReportedState {
    const { queueTimeoutMs, installWaitMs } = this.options;
    const changes = since === undefined ? undefined : this.changes.since(since);
    const all = [...this.#functions.values()];
    const named = changes === undefined ? all : this.#named(new Set(changes.map(({ name }) => name)));
    const common = {
      load: this.load(),
      epoch: this.changes.epoch,
      waitMs: Math.max(queueTimeoutMs, installWaitMs),
      zygotes: this.#zygoteKeys(all),
      functions: named
        .map((fn) => fn.report.reported)
        .filter((fn): fn is ReportedFunction => fn !== undefined),
    };
    if (since === undefined || changes === undefined)
      return { ...common, warm: all.filter(({ report }) => report.warm).map(({ name }) => name) };
    return { ...common, since, changes: changes.map(({ kind, name }) => kind + name) };
  }

  #named(names: ReadonlySet<string>): readonly LambdaFunction[] {
    return [...names].flatMap((name) => this.#functions.get(name) ?? []);
  }

  /** Of package sets, those that a zygote has all of. */
  #zygoteKeys(functions: readonly LambdaFunction[]): readonly string[] {
    const { zygotes } = this.options;
    if (zygotes === undefined) return [];
    const keys = new Set<string>();
    for (const {
      report: { packaged },
    } of functions)
      if (packaged !== undefined && zygotes.covers(packaged.network, packaged.set)) keys.add(packaged.key);
    return [...keys];
  }

  /** A snapshot of its numbers, those of every function and of every sandbox. */
  stats(): LambdaStats {
    const functions = [...this.#functions.values(), ...this.#retired];
    return {
      slots: this.slots.total,
      running: this.slots.busy,
      queued: this.queued,
      unread: this.unread.count,
      calls: this.counter.snapshot(),
      functions: functions.map((fn) => fn.stats()),
      sandboxes: functions.flatMap((fn) => sandboxesOf(fn, performance.now())),
      zygotes: this.options.zygotes?.stats(),
      packages: this.options.packages.stats?.(),
    };
  }

  /** The longest a call that has been taken in may still need, deadline of the queue included. */
  get longestMs(): number {
    let longestMs = 0;
    for (const fn of [...this.#functions.values(), ...this.#retired]) {
      if (fn.queued > 0) longestMs = Math.max(longestMs, this.options.queueTimeoutMs + fn.timeoutMs);
      else if (fn.running > 0) longestMs = Math.max(longestMs, fn.timeoutMs);
    }
    return longestMs;
  }

  /** Takes no new calls; settles when those it has are over, and their replies are read, or when the signal says so. */
  drain(signal?: AbortSignal): Promise<void> {
    if (this.#state === "running") this.#state = "draining";
    return new Promise((resolve) => {
      if (this.#idle || signal?.aborted === true) return resolve();
      this.#drained.push(resolve);
      signal?.addEventListener("abort", () => resolve(), { once: true });
    });
  }

  /** Ends everything now: what waits is refused, what runs is cut short. Settles when every sandbox is gone that was there. */
  async close(): Promise<void> {
    if (this.#state !== "closed") {
      this.#state = "closed";
      clearInterval(this.#sweeper);
      this.#lingering.stop();
      for (const unlisten of this.#unlisten) unlisten();
      const error = drainingError();
      for (const fn of [...this.#functions.values(), ...this.#retired]) fn.close(error);
      this.#functions.clear();
      this.#retired.clear();
      for (const sandbox of this.#ending) this.destroying(sandbox.destroy());
    }
    await Promise.all(this.#destroying);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  forget(fn: LambdaFunction): void {
    if (this.#functions.get(fn.name) !== fn) return;
    this.#functions.delete(fn.name);
    if (fn.running > 0) this.#retired.add(fn);
  }

  endsByItself(sandbox: Sandbox): void {
    this.#ending.add(sandbox);
  }

  destroying(done: Promise<void>): void {
    const settled = done.catch((error: unknown) =>
      this.options.logger.error("a sandbox could not be destroyed", { error: messageOf(error) }),
    );
    this.#destroying.add(settled);
    void settled.then(() => this.#destroying.delete(settled));
  }

  callOver(): void {
    if (this.#drained.length === 0 || !this.#idle) return;
    for (const resolve of this.#drained) resolve();
    this.#drained = [];
  }

  /**
   * A function without any sandbox does not starve behind busy ones: who has more to do lets the pool have its sandbox
   * after having had it for a while. Who has nothing to do does so anyway.
   */
  isStarving(fn: LambdaFunction, instance: Instance): boolean {
    if (!this.options.pool.short || fn.queued === 0) return false;
    if (!instance.paidOff(instance.usedMs)) return false;
    for (const other of this.#functions.values()) if (other !== fn && other.needy) return true;
    return false;
  }

  isDueElsewhere(instance: Instance): boolean {
    return instance.paidOff(performance.now());
  }

  get #idle(): boolean {
    return this.queued === 0 && this.slots.busy === 0 && this.unread.count === 0;
  }

  #refusal(): OlError | undefined {
    return this.#state === "running" ? undefined : drainingError();
  }

  #functionOf(name: string): LambdaFunction {
    let fn = this.#functions.get(name);
    if (fn === undefined) {
      parseReference(name);
      fn = new LambdaFunction(name, this);
      this.#functions.set(name, fn);
    }
    return fn;
  }

  /** The pool takes its memory back, or it broke. */
  #sandboxEnding(sandbox: Sandbox): void {
    const instance = this.sandboxes.get(sandbox.id);
    this.sandboxes.delete(sandbox.id);
    instance?.sandboxEnding();
  }

  #updateMemoryShare(): void {
    const { promisedMb, memoryMb } = this.options.pool.stats();
    this.#memoryShare = promisedMb / memoryMb;
  }

  /** Ends and forgets what has been idle for long; done by itself every few seconds. */
  sweep(nowMs: number): void {
    if (this.#keptMs !== undefined && nowMs - this.#keptMs >= KEPT_MS) void this.keepWarm();
    for (const fn of this.#retired) if (fn.running === 0) this.#retired.delete(fn);
    for (const fn of this.#functions.values()) {
      if (!fn.sweep(nowMs)) continue;
      this.#functions.delete(fn.name);
      fn.close(lambdaError("OL_LAMBDA_UNKNOWN", `${fn.name} was not called for long and was forgotten`));
    }
  }
}

const NEVER_STARTED: Invocation = {
  started: false,
  phases: () => undefined,
  write: () => false,
  endBody: () => undefined,
  resume: () => undefined,
  cancel: () => undefined,
};

const drainingError = (): OlError =>
  lambdaError("OL_LAMBDA_DRAINING", "this worker is shutting down; it takes no new calls");

const sandboxesOf = (fn: LambdaFunction, nowMs: number): SandboxStats[] => {
  const list: SandboxStats[] = [];
  for (const { sandbox, state, sandboxSinceMs } of fn.fleet) {
    if (sandbox === undefined) continue;
    const { id, meta } = sandbox;
    list.push({
      id,
      lambda: fn.name,
      state: state === "idle" && sandbox.state === "paused" ? "paused" : state,
      ageMs: Math.round(nowMs - sandboxSinceMs),
      memoryMb: meta.limits.memoryMb,
    });
  }
  return list;
};
