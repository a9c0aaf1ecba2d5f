import { isOlError, type Logger, messageOf, type OlError } from "@ol/common";
import type { ReplySink, Sandbox } from "@ol/sandbox";

import { CodeKeeper, type CodeVersion } from "./code-keeper.ts";
import { lambdaError } from "./errors.ts";
import { Fleet } from "./fleet.ts";
import type { FunctionHost } from "./function-host.ts";
import { Growth } from "./growth.ts";
import { Instance, type InstanceOwner } from "./instance.ts";
import { type CallOwner, type Invocation, type LambdaRequest, PendingCall } from "./pending-call.ts";
import { type LambdaInfo, makeProfile, type Profile } from "./profile.ts";
import type { SlotWaiter } from "./slots.ts";
import { CallCounter, type FunctionStats } from "./stats.ts";
import { WaitingCalls } from "./waiting-calls.ts";

/** One function: its code, its queue, its instances. */
export class LambdaFunction implements InstanceOwner, CallOwner, SlotWaiter {
  readonly name: string;
  readonly counter: CallCounter = new CallCounter();
  usedMs: number = performance.now();
  readonly #host: FunctionHost;
  readonly #keeper: CodeKeeper;
  readonly #queue: WaitingCalls;
  readonly #fleet = new Fleet();
  readonly #growth: Growth;
  readonly #logger: Logger;
  #running = 0;
  #profile: Profile | undefined;
  #crashedMs = Number.NEGATIVE_INFINITY;

  constructor(name: string, host: FunctionHost) {
    this.name = name;
    this.#host = host;
    this.#logger = host.options.logger;
    this.#queue = new WaitingCalls(name, host, this.counter, (nowMs) => this.pump(nowMs));
    this.#growth = new Growth(host, this.#fleet, this);
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
    if (!this.#queue.add(call)) return call;
    this.#keeper.fresh(nowMs);
    this.pump(nowMs);
    return call;
  }

  slotFree(): void {
    this.pump(performance.now());
  }

  callDropped(): void {
    this.#queue.noteDropped();
  }

  callDone(instance: Instance, runMs: number | undefined): void {
    this.counter.answered += 1;
    this.#host.counter.answered += 1;
    if (runMs !== undefined) this.#growth.noteRun(runMs);
    this.#callLeft(instance);
  }

  callCut(instance: Instance, error: OlError): void {
    this.counter.cut += 1;
    this.#host.counter.cut += 1;
    if (error.code === "OL_SANDBOX_IMPORT_FAILED") this.importFailed(instance, error);
    else if (instance.state !== "idle" && instance.state !== "busy") this.#crashedMs = performance.now();
    this.#callLeft(instance);
  }

  callReturned(instance: Instance, call: PendingCall, error: OlError): void {
    // That a sandbox is busy for longer than usual is everyday life.
    if (error.code !== "OL_SANDBOX_RECALLED")
      this.#logger.warn("a sandbox ended before its call began; the call goes to another one", {
        lambda: this.name,
        invocation: call.invocationId,
        error: error.message,
      });
    this.#queue.addFirst(call);
    this.#callLeft(instance);
  }

  sandboxLost(instance: Instance): void {
    this.#fleet.noteNotIdle(instance);
    this.#growth.soon();
    this.pump(performance.now());
  }

  startFailed(error: unknown): void {
    const nowMs = performance.now();
    if (isOlError(error, "OL_SANDBOX_NO_MEMORY")) {
      this.#queue.expire(nowMs);
    } else if (!this.#hasLive() && isOlError(error)) {
      this.#queue.refuseAll(error);
    } else {
      // Those that live go on; nobody is told, so it is logged.
      this.#logger.warn("could not start a sandbox", { lambda: this.name, error: messageOf(error) });
    }
    // Another one is tried at the growth's pace: two that fail at once would ask for each other without end.
    this.pump(nowMs);
  }

  instanceIdle(instance: Instance, sandbox: Sandbox): void {
    this.#host.sandboxes.set(sandbox.id, instance);
    this.#becameIdle(instance);
    this.pump(performance.now());
    instance.release();
  }

  codeLoaded(startMs: number): void {
    this.#growth.noteStart(startMs);
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

  /** Whether it waits for a sandbox and has none. */
  get needy(): boolean {
    return this.#fleet.needy;
  }

  get queued(): number {
    return this.#queue.size;
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
    this.#queue.close(error);
    for (const instance of this.#fleet) instance.destroy();
    this.#growth.soon();
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
      meanRunMs: this.#growth.meanRunMs,
      meanStartMs: this.#growth.meanStartMs,
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

  /** Hands waiting calls to instances, as far as there are instances and slots. */
  pump(nowMs: number): void {
    if (this.#queue.size === 0) return;
    if (this.#keeper.holding) return this.#queue.armDeadline(nowMs);
    const { state } = this.#keeper;
    if (state.kind === "gone" || state.kind === "broken") return this.#queue.refuseAll(state.error);
    if (state.kind === "loading") return this.#queue.armDeadline(nowMs);
    this.#dispatch(state.version, nowMs);
    if (this.#queue.size === 0) return;
    this.#queue.armDeadline(nowMs);
    this.#growth.consider(state.version, this.#profileOf(state.version).spec.limits.memoryMb, nowMs);
  }

  #dispatch(version: CodeVersion, nowMs: number): void {
    const { slots } = this.#host;
    const { timeoutMs } = this.#profileOf(version);
    while (this.#queue.size > 0) {
      const idle = this.#fleet.idle();
      const taker =
        idle ?? this.#fleet.pipelined(version, nowMs, this.#growth.meanRunMs, nowMs - this.#crashedMs);
      if (taker === undefined) return;
      // What waits behind another call gets that one's slot later, unless somebody else stands in line for it.
      if (idle === undefined ? slots.wanted : slots.free === 0) return slots.wait(this);
      if (idle !== undefined) {
        this.#fleet.noteNotIdle(idle);
        slots.take();
      }
      const call = this.#queue.next();
      this.#running += 1;
      taker.run(call, timeoutMs, nowMs);
    }
  }

  #becameIdle(instance: Instance): void {
    const { state } = this.#keeper;
    const current = state.kind === "good" && state.version === instance.version;
    if (!current) return instance.destroy();
    this.#fleet.noteIdle(instance);
    if (!this.#host.isStarving(this, instance)) return;
    // Before its next call: the pool may give its memory to the one that starves.
    this.#growth.soon();
    instance.release();
  }

  #callLeft(instance: Instance): void {
    const free = instance.inFlight === 0;
    if (instance.state === "idle") this.#becameIdle(instance);
    this.#running -= 1;
    // Whoever stands in line for a slot comes before this function's next call.
    if (free) this.#host.slots.release();
    this.pump(performance.now());
    instance.release();
    this.#host.callOver();
  }

  startOne(version: CodeVersion): void {
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
    this.#growth.soon();
    this.pump(performance.now());
  }

  #profileOf({ code }: CodeVersion): Profile {
    if (this.#profile?.code !== code) this.#profile = makeProfile(code, this.#host.options);
    return this.#profile;
  }
}
