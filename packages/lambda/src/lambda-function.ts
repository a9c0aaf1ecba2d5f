import { isOlError, type Logger, messageOf, type OlError } from "@ol/common";
import type { ReplySink } from "@ol/sandbox";

import { CallQueue } from "./call-queue.ts";
import { CodeKeeper, type CodeVersion } from "./code-keeper.ts";
import { lambdaError } from "./errors.ts";
import { Fleet } from "./fleet.ts";
import type { FunctionHost } from "./function-host.ts";
import { Instance, type InstanceOwner } from "./instance.ts";
import { type CallOwner, type Invocation, type LambdaRequest, PendingCall } from "./pending-call.ts";
import { desiredInstances, nextMean, stuckAfterMs } from "./policy.ts";
import { type LambdaInfo, makeProfile, type Profile } from "./profile.ts";
import type { SlotWaiter } from "./slots.ts";
import { CallCounter, type FunctionStats } from "./stats.ts";

/** Guess at a cold start before one was measured; only decides when a second sandbox is worth it. */
const FIRST_START_GUESS_MS = 10;
/** How often a function whose calls wait asks itself whether another sandbox would help. */
const GROW_CHECK_MS = 5;

/** One function: its code, its queue, its instances. */
export class LambdaFunction implements InstanceOwner, CallOwner, SlotWaiter {
  readonly name: string;
  readonly counter: CallCounter = new CallCounter();
  usedMs: number = performance.now();
  readonly #host: FunctionHost;
  readonly #keeper: CodeKeeper;
  readonly #queue = new CallQueue();
  readonly #fleet = new Fleet();
  readonly #logger: Logger;
  #running = 0;
  #profile: Profile | undefined;
  #meanRunMs: number | undefined;
  #meanStartMs = FIRST_START_GUESS_MS;
  #crashedMs = Number.NEGATIVE_INFINITY;
  #deadlineTimer: NodeJS.Timeout | undefined;
  #growTimer: NodeJS.Timeout | undefined;

  constructor(name: string, host: FunctionHost) {
    this.name = name;
    this.#host = host;
    this.#logger = host.options.logger;
    this.#keeper = new CodeKeeper({
      name,
      source: host.options.source,
      cacheMs: host.options.registryCacheMs,
      logger: this.#logger,
      onChecked: () => this.#codeChecked(),
    });
  }

  /** What the current code says; fails with what a call would be answered if there is none to run. */
  info(): LambdaInfo | Promise<LambdaInfo> {
    if (this.#keeper.fresh(performance.now()) && this.#keeper.state.kind === "good")
      return this.#profileOf(this.#keeper.state.version).info;
    return this.#checkedInfo();
  }

  /** Takes a call in; its sink hears everything else. */
  invoke(request: LambdaRequest, sink: ReplySink): Invocation {
    const nowMs = performance.now();
    const { options } = this.#host;
    this.usedMs = nowMs;
    this.counter.accepted += 1;
    this.#host.counter.accepted += 1;
    const call = new PendingCall(request, sink, this, nowMs + options.queueTimeoutMs);
    const full = this.#full();
    if (full !== undefined) {
      this.#countRefused(1);
      call.refuse(full);
      return call;
    }
    this.#keeper.fresh(nowMs);
    this.#queue.push(call);
    this.#host.queued += 1;
    this.#pump(nowMs);
    return call;
  }

  slotFree(): void {
    this.#pump(performance.now());
  }

  callDropped(): void {
    this.#queue.noteDropped();
    this.#host.queued -= 1;
    this.counter.dropped += 1;
    this.#host.counter.dropped += 1;
    this.#host.callOver();
  }

  callDone(instance: Instance, runMs: number | undefined): void {
    this.counter.answered += 1;
    this.#host.counter.answered += 1;
    if (runMs !== undefined) this.#meanRunMs = nextMean(this.#meanRunMs, runMs);
    this.#slotReleased(instance);
  }

  callCut(instance: Instance, error: OlError): void {
    this.counter.cut += 1;
    this.#host.counter.cut += 1;
    if (error.code === "OL_SANDBOX_IMPORT_FAILED") this.importFailed(instance, error);
    else if (instance.state !== "idle" && instance.state !== "busy") this.#crashedMs = performance.now();
    this.#slotReleased(instance);
  }

  sandboxLost(instance: Instance): void {
    this.#fleet.noteNotIdle(instance);
    this.#growSoon();
    this.#pump(performance.now());
  }

  startFailed(error: unknown): void {
    const nowMs = performance.now();
    if (isOlError(error, "OL_SANDBOX_NO_MEMORY")) {
      this.#expire(nowMs);
    } else if (!this.#hasLive() && isOlError(error)) {
      this.#refuseAll(error);
    } else {
      // Those that live go on; nobody is told, so it is logged.
      this.#logger.warn("could not start a sandbox", { lambda: this.name, error: messageOf(error) });
    }
    this.#growSoon();
    this.#pump(nowMs);
  }

  instanceIdle(instance: Instance): void {
    this.#becameIdle(instance);
    this.#pump(performance.now());
  }

  codeLoaded(startMs: number): void {
    this.#meanStartMs = nextMean(this.#meanStartMs, startMs);
  }

  importFailed(instance: Instance, error: OlError): void {
    // Where others have loaded it, the reason lies in that one sandbox.
    if (!this.#fleet.hasLoaded(instance.version)) this.#keeper.importFailed(instance.version, error);
  }

  instanceGone(instance: Instance): void {
    this.#fleet.remove(instance);
    this.#keeper.drop(instance.version);
  }

  destroying(done: Promise<void>): void {
    this.#host.destroying(done);
  }

  /** The idle instance that has not been used for the longest time, if any. */
  oldestIdle(): Instance | undefined {
    return this.#fleet.oldestIdle();
  }

  /** Whether it waits for a sandbox and has none. */
  get needy(): boolean {
    return this.#fleet.needy;
  }

  get queued(): number {
    return this.#queue.size;
  }

  /** Takes the sandbox of an idle instance away. */
  giveUp(instance: Instance): void {
    this.#fleet.noteNotIdle(instance);
    instance.giveUp();
  }

  /** Ends what has been idle for long; whether the function itself may be forgotten. */
  sweep(nowMs: number): boolean {
    const { idleSandboxMs, idleFunctionMs } = this.#host.options;
    for (const instance of this.#fleet) {
      const passive = instance.state === "idle" || instance.state === "empty";
      if (passive && nowMs - instance.usedMs >= idleSandboxMs) instance.destroy();
    }
    return this.#fleet.size === 0 && this.#queue.size === 0 && nowMs - this.usedMs >= idleFunctionMs;
  }

  /** Refuses what waits and ends every sandbox. The function is not to be used afterwards. */
  close(error: OlError): void {
    this.#keeper.forget(error);
    this.#refuseAll(error);
    for (const instance of this.#fleet) instance.destroy();
    clearTimeout(this.#deadlineTimer);
    clearTimeout(this.#growTimer);
    this.#host.slots.leave(this);
  }

  stats(): FunctionStats {
    const { state } = this.#keeper;
    const version = state.kind === "good" || state.kind === "broken" ? state.version : undefined;
    return {
      name: this.name,
      code: state.kind,
      digest: version?.code.digest,
      queued: this.#queue.size,
      running: this.#running,
      instances: this.#fleet.states(),
      meanRunMs: this.#meanRunMs,
      meanStartMs: this.#meanStartMs,
      calls: this.counter.snapshot(),
    };
  }

  /** Its instances, for listings. */
  instances(): Iterable<Instance> {
    return this.#fleet;
  }

  /** How long a call of it may run. */
  get timeoutMs(): number {
    return this.#profile?.timeoutMs ?? this.#host.options.limits.runtimeSec * 1000;
  }

  get running(): number {
    return this.#running;
  }

  async #checkedInfo(): Promise<LambdaInfo> {
    if (this.#keeper.holding) await this.#keeper.check();
    const { state } = this.#keeper;
    if (state.kind === "good") return this.#profileOf(state.version).info;
    throw state.kind === "loading"
      ? lambdaError("OL_LAMBDA_LOAD_FAILED", `the code of ${this.name} could not be loaded`)
      : state.error;
  }

  #full(): OlError | undefined {
    const { options, queued } = this.#host;
    if (this.#queue.size >= options.maxQueuedPerFunction)
      return lambdaError(
        "OL_LAMBDA_QUEUE_FULL",
        `${this.#queue.size} calls of ${this.name} are waiting already`,
      );
    if (queued >= options.maxQueued)
      return lambdaError("OL_LAMBDA_WORKER_FULL", `${queued} calls are waiting on this worker already`);
    return undefined;
  }

  /** Hands waiting calls to instances, as far as there are instances and slots. */
  #pump(nowMs: number): void {
    if (this.#queue.size === 0) return;
    if (this.#keeper.holding) return this.#armDeadline(nowMs);
    const { state } = this.#keeper;
    if (state.kind === "gone" || state.kind === "broken") return this.#refuseAll(state.error);
    if (state.kind === "loading") return this.#armDeadline(nowMs);
    this.#dispatch(state.version, nowMs);
    if (this.#queue.size === 0) return;
    this.#armDeadline(nowMs);
    if (this.#growTimer === undefined) this.#grow(state.version, nowMs);
  }

  #dispatch(version: CodeVersion, nowMs: number): void {
    const { slots } = this.#host;
    const { timeoutMs } = this.#profileOf(version);
    while (this.#queue.size > 0) {
      const idle = this.#fleet.idle();
      const taker = idle ?? this.#fleet.pipelined(version, this.#meanRunMs, nowMs - this.#crashedMs);
      if (taker === undefined) return;
      if (slots.free === 0) return slots.wait(this);
      if (idle !== undefined) this.#fleet.noteNotIdle(idle);
      const call = this.#queue.shift() as PendingCall;
      this.#host.queued -= 1;
      slots.take();
      this.#running += 1;
      taker.run(call, timeoutMs, nowMs);
    }
  }

  #becameIdle(instance: Instance): void {
    const { state } = this.#keeper;
    const current = state.kind === "good" && state.version === instance.version;
    if (!current) return instance.destroy();
    if (this.#host.isMemoryWanted(this, instance)) {
      this.#growSoon();
      return instance.giveUp();
    }
    this.#fleet.noteIdle(instance);
  }

  #slotReleased(instance: Instance): void {
    if (instance.state === "idle") this.#becameIdle(instance);
    this.#running -= 1;
    // Whoever stands in line for a slot comes before this function's next call.
    this.#host.slots.release();
    this.#pump(performance.now());
    this.#host.callOver();
  }

  /** Costs more than a quick call: looked at when calls begin to wait, and then at the timer's pace. */
  #grow(version: CodeVersion, nowMs: number): void {
    this.#armGrow();
    const { options, slots } = this.#host;
    const stuckMs = stuckAfterMs(this.#meanRunMs, this.#meanStartMs);
    const { live, starting, stuck, oldestRunMs } = this.#fleet.count(version, nowMs, stuckMs);
    const desired = desiredInstances({
      queued: this.#queue.size,
      live,
      starting,
      stuck,
      max: options.maxInstances,
      cpus: options.cpus,
      freeSlots: slots.free,
      meanRunMs: this.#meanRunMs,
      oldestRunMs,
      meanStartMs: this.#meanStartMs,
    });
    const { memoryMb } = this.#profileOf(version).spec.limits;
    // The first may wait for memory; those beyond stand in nobody's way.
    for (let count = live; count < desired && (count === 0 || this.#host.hasRoom(memoryMb)); count += 1)
      this.#startOne(version);
  }

  #startOne(version: CodeVersion): void {
    const { pool, queueTimeoutMs } = this.#host.options;
    let instance = this.#fleet.empty(version);
    if (instance === undefined) {
      instance = new Instance(version, this);
      this.#keeper.hold(version);
      this.#fleet.add(instance);
    }
    instance.start(pool, this.#profileOf(version).spec, queueTimeoutMs);
  }

  #hasLive(): boolean {
    const { state } = this.#keeper;
    return state.kind === "good" && this.#fleet.hasLive(state.version);
  }

  /** A check of the code ended: instances of older code go as soon as they are free. */
  #codeChecked(): void {
    const { state } = this.#keeper;
    const current = state.kind === "good" || state.kind === "broken" ? state.version : undefined;
    for (const instance of this.#fleet) if (instance.version !== current) instance.retire();
    if (state.kind === "gone") this.#host.forget(this);
    this.#growSoon();
    this.#pump(performance.now());
  }

  #profileOf({ code }: CodeVersion): Profile {
    if (this.#profile?.code !== code) this.#profile = makeProfile(code, this.#host.options);
    return this.#profile;
  }

  #refuseAll(error: OlError): void {
    const calls = this.#queue.takeAll();
    this.#host.queued -= calls.length;
    this.#countRefused(calls.length);
    for (const call of calls) call.refuse(error);
    this.#host.callOver();
  }

  #countRefused(calls: number): void {
    this.counter.refused += calls;
    this.#host.counter.refused += calls;
  }

  /** Refuses the calls whose deadline is over. */
  #expire(nowMs: number): void {
    for (let call = this.#queue.peek(); call !== undefined; call = this.#queue.peek()) {
      if (call.deadlineMs > nowMs) return;
      this.#queue.shift();
      this.#host.queued -= 1;
      this.#countRefused(1);
      const waitedMs = this.#host.options.queueTimeoutMs;
      call.refuse(
        lambdaError(
          "OL_LAMBDA_QUEUE_TIMEOUT",
          `no sandbox for ${this.name} became free within ${waitedMs} ms`,
        ),
      );
    }
    this.#host.callOver();
  }

  /** One timer for the whole queue: calls come in the order of their deadlines. It is left to run out. */
  #armDeadline(nowMs: number): void {
    const call = this.#deadlineTimer === undefined ? this.#queue.peek() : undefined;
    if (call === undefined) return;
    this.#deadlineTimer = setTimeout(
      () => {
        this.#deadlineTimer = undefined;
        const firedMs = performance.now();
        this.#expire(firedMs);
        this.#pump(firedMs);
      },
      Math.max(Math.ceil(call.deadlineMs - nowMs), 1),
    );
  }

  /** There may be fewer instances than a moment ago: the next look at them must not wait. */
  #growSoon(): void {
    clearTimeout(this.#growTimer);
    this.#growTimer = undefined;
  }

  #armGrow(): void {
    if (this.#growTimer !== undefined || this.#queue.size === 0) return;
    this.#growTimer = setTimeout(() => {
      this.#growTimer = undefined;
      this.#pump(performance.now());
    }, GROW_CHECK_MS);
  }
}
