import { isOlError, type Logger, messageOf, type OlError } from "@ol/common";
import type { ReplySink, Sandbox } from "@ol/sandbox";

import { Scaling } from "./autoscaler.ts";
import { CallNews } from "./call-news.ts";
import { CodeInquiry } from "./code-inquiry.ts";
import { CodeKeeper } from "./code-keeper.ts";
import type { CodeVersion } from "./code-state.ts";
import { Dispatch } from "./dispatch.ts";
import { Fleet } from "./fleet.ts";
import { FunctionReport } from "./function-report.ts";
import type { FunctionHost } from "./function-host.ts";
import { Growth } from "./growth.ts";
import { Instance, type InstanceOwner } from "./instance.ts";
import { type CallOwner, type Invocation, type LambdaRequest, PendingCall } from "./pending-call.ts";
import { type LambdaInfo, type Profile, Profiles } from "./profile.ts";
import type { SlotWaiter } from "./slots.ts";
import type { FunctionStats } from "./stats.ts";
import { SpareSandboxes } from "./spare-sandboxes.ts";
import { Tally } from "./tally.ts";
import { traceOf } from "./tracing.ts";
import { Trial } from "./trial.ts";
import { Upkeep } from "./upkeep.ts";
import { WaitingCalls } from "./waiting-calls.ts";

/** A sandbox that ended is replaced at once where one is to be kept warm, but not more often than that. */
const REWARM_MS = 5_000;

/** One function: its code, its queue, its instances. */
export class LambdaFunction implements InstanceOwner, CallOwner, SlotWaiter {
  readonly name: string;
  readonly keeper: CodeKeeper;
  readonly fleet: Fleet = new Fleet();
  usedMs: number = performance.now();
  readonly #host: FunctionHost;
  readonly #tally: Tally;
  readonly #news: CallNews;
  readonly #queue: WaitingCalls;
  readonly #scaling: Scaling;
  readonly #growth: Growth;
  readonly #trial: Trial;
  readonly #logger: Logger;
  readonly #dispatch: Dispatch;
  readonly #profiles: Profiles;
  #lostMs = Number.NEGATIVE_INFINITY;
  readonly #spare: SpareSandboxes;
  readonly #inquiry: CodeInquiry;
  readonly #upkeep: Upkeep;
  /** What balancers are told of it. */
  readonly report: FunctionReport;

  constructor(name: string, host: FunctionHost) {
    this.name = name;
    this.#host = host;
    this.#logger = host.options.logger;
    this.#profiles = new Profiles(host.options);
    this.#tally = new Tally(host.counter);
    this.#news = new CallNews(name);
    this.#queue = new WaitingCalls(
      name,
      host,
      { tally: this.#tally, news: this.#news },
      {
        deadline: (nowMs) => this.pump(nowMs),
        awaitsPackages: () => this.keeper.awaitsPackages,
      },
    );
    this.#scaling = new Scaling(name, host.options.autoscaler, this.#logger);
    this.#growth = new Growth(host, this.fleet, this, this.#scaling);
    const parts = { queue: this.#queue, news: this.#news, growth: this.#growth };
    this.#dispatch = new Dispatch(this, host.slots, parts);
    this.keeper = new CodeKeeper({
      name,
      source: host.options.source,
      packages: host.options.packages,
      cacheMs: host.options.registryCacheMs,
      logger: this.#logger,
      onChecked: () => this.#codeChecked(),
    });
    this.#trial = new Trial(this);
    this.#inquiry = new CodeInquiry(this, host.options);
    this.#spare = new SpareSandboxes(this, host);
    const kept = { scaling: this.#scaling, growth: this.#growth, trial: this.#trial, spare: this.#spare };
    this.#upkeep = new Upkeep(this, host, kept);
    this.report = new FunctionReport(this, this.#growth, host.changes);
  }

  /** As CodeInquiry's. */
  info(): LambdaInfo | Promise<LambdaInfo> {
    return this.#inquiry.info();
  }

  /** As CodeInquiry's. */
  learn(): Promise<LambdaInfo> {
    return this.#inquiry.learn();
  }

  /** Takes a call in; its sink hears everything else. */
  invoke(request: LambdaRequest, sink: ReplySink): Invocation {
    const nowMs = performance.now();
    const { options } = this.#host;
    this.usedMs = nowMs;
    this.#tally.accepted();
    this.#scaling.called(nowMs);
    // Also for a call that is refused: what fills the queue may be what newer code mends.
    this.keeper.fresh(nowMs);
    const call = new PendingCall(request, sink, this, nowMs, this.longestWaitMs);
    const { current } = this.keeper;
    const max = current === undefined ? options.maxQueuedPerFunction : this.profileOf(current).maxQueued;
    // The queue is for calls that find no sandbox: one that finds it is not counted against its limit.
    if (!this.#queue.add(call, this.#dispatch.isFirstInLine(current) ? Math.max(max, 1) : max)) return call;
    this.pump(nowMs);
    return call;
  }

  slotFree(): void {
    this.pump(performance.now());
  }

  get wantsSlot(): boolean {
    return this.#queue.size > 0 && this.fleet.idle() !== undefined;
  }

  callDropped(call: PendingCall): void {
    this.#queue.noteDropped(call);
  }

  replyUnread(bytes: number): boolean {
    return this.#host.unread.add(bytes);
  }

  replyRead(bytes: number): void {
    this.#host.unread.delete(bytes);
    this.#host.callOver();
  }

  callDone(instance: Instance, call: PendingCall, runMs: number | undefined): void {
    this.#tally.answered(call);
    this.#news.ended(call, instance.sandbox?.id, "answered", call.failure);
    this.#record(instance, call);
    if (runMs !== undefined) this.#growth.noteRun(runMs);
    this.#callLeft(instance);
  }

  callCut(instance: Instance, call: PendingCall, error: OlError): void {
    const left = error.code === "OL_SANDBOX_CANCELLED";
    this.#news.ended(call, instance.sandbox?.id, left ? "left" : "cut", error.code);
    if (left) {
      this.#tally.left();
      return this.#callLeft(instance);
    }
    this.#tally.cut(error);
    if (error.code === "OL_SANDBOX_IMPORT_FAILED") this.importFailed(instance, error);
    else if (instance.state !== "idle" && instance.state !== "busy") this.#dispatch.crashed();
    this.#callLeft(instance);
  }

  callReturned(instance: Instance, call: PendingCall, error: OlError): void {
    this.#news.ended(call, instance.sandbox?.id, "returned", error.code);
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
    const nowMs = performance.now();
    this.fleet.noteNotIdle(instance);
    this.#trial.lost(instance.version, nowMs);
    this.#growth.soon();
    this.pump(nowMs);
    this.#inquiry.tell();
    this.report.update();
    // Those of one call each end every time; one that ended before it had answered it may do so every time as well.
    if ((!instance.reuse && instance.proven) || nowMs - this.#lostMs >= REWARM_MS) this.#spare.keepWarm();
    this.#lostMs = nowMs;
  }

  startFailed({ version }: Instance, error: unknown): void {
    const nowMs = performance.now();
    // Calls do not depend on it: they run on the code before it.
    const onTrial = version === this.keeper.candidate;
    this.#trial.startFailed(version, error, nowMs);
    if (onTrial) this.#retireOthers();
    this.#inquiry.tell(error);
    if (isOlError(error, "OL_SANDBOX_NO_MEMORY")) {
      this.#queue.expire(nowMs);
    } else if (!onTrial && !this.#hasLive() && isOlError(error)) {
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
    this.#spare.release(instance);
  }

  loadingEnded(error: OlError): void {
    // Taken back for its memory, it says nothing of the code.
    if (error.code !== "OL_SANDBOX_DESTROYED") this.#inquiry.tell(error);
  }

  codeLoaded(instance: Instance, startMs: number): void {
    const { version, sandbox } = instance;
    this.#growth.noteStart(startMs);
    this.keeper.loaded(version, sandbox?.kind ?? "function");
    this.#trial.loaded(version);
    this.#inquiry.tell();
    this.report.update();
    this.#spare.releaseWithheld();
  }

  importFailed({ version }: Instance, error: OlError): void {
    // Where others have loaded it, the reason lies in that one sandbox.
    if (this.fleet.loaded(version) > 0) return;
    this.keeper.importFailed(version, error);
    this.#retireOthers();
    this.report.update();
    // Calls that waited for it are answered, or run on the code before it.
    this.pump(performance.now());
    this.#inquiry.tell();
  }

  instanceGone(instance: Instance): void {
    this.fleet.remove(instance);
    this.keeper.drop(instance.version);
    this.report.update();
  }

  endsByItself(sandbox: Sandbox): void {
    this.#host.endsByItself(sandbox);
  }

  destroying(done: Promise<void>): void {
    this.#host.destroying(done);
  }

  /** Whether it waits for a sandbox and has none. */
  get needy(): boolean {
    return this.fleet.needy;
  }

  get queued(): number {
    return this.#queue.size;
  }

  /** Whether somebody waits to hear what its code is. */
  get asked(): boolean {
    return this.#inquiry.awaited;
  }

  /** As Upkeep's. */
  sweep(nowMs: number): boolean {
    return this.#upkeep.sweep(nowMs);
  }

  /** Makes ready what is to be ready before it is called. */
  async warm(): Promise<void> {
    if (this.keeper.state.kind === "loading") await this.keeper.check();
  }

  /** Refuses what waits and ends every sandbox. The function is not to be used afterwards. */
  close(error: OlError): void {
    this.keeper.forget(error);
    this.#queue.close(error);
    for (const instance of this.fleet) instance.destroy();
    this.#growth.soon();
    this.#trial.stop();
    this.#inquiry.tell(error);
    this.#host.slots.leave(this);
  }

  stats(): FunctionStats {
    const { state, fault } = this.keeper;
    const version = state.kind === "good" || state.kind === "broken" ? state.version : undefined;
    return {
      name: this.name,
      code: state.kind,
      installing: this.keeper.installing !== undefined,
      kind: version?.kind,
      digest: version?.code.digest,
      fault: fault?.causedBy === "user" ? fault.message : fault?.code,
      staleSinceMs: this.keeper.doubt?.sinceMs,
      queued: this.#queue.size,
      running: this.#dispatch.running,
      instances: this.fleet.states(),
      meanRunMs: this.#growth.meanRunMs,
      tailRunMs: this.#growth.tailRunMs,
      meanStartMs: this.#growth.meanStartMs,
      ...this.#tally.stats(),
    };
  }

  /** How long a call of it may run. */
  get timeoutMs(): number {
    const { current } = this.keeper;
    return current === undefined
      ? this.#host.options.limits.runtimeSec * 1000
      : this.profileOf(current).timeoutMs;
  }

  get running(): number {
    return this.#dispatch.running;
  }

  /** How long a call waits that comes now, unless its caller says otherwise. */
  get longestWaitMs(): number {
    const { installWaitMs, queueTimeoutMs } = this.#host.options;
    return this.keeper.awaitsPackages ? installWaitMs : queueTimeoutMs;
  }

  #record(instance: Instance, call: PendingCall): void {
    const { trace, zygotes } = this.#host.options;
    if (trace === undefined) return;
    const record = traceOf(this.name, instance, call, zygotes);
    if (record !== undefined) trace(record);
  }

  /** Hands waiting calls to instances, as far as there are instances and slots. */
  pump(nowMs: number): void {
    if (this.#queue.size === 0) return this.#spare.releaseWithheld();
    const { state, holding, awaitsPackages } = this.keeper;
    // No check brings back what is gone.
    if ((holding && state.kind !== "gone") || awaitsPackages) return this.#queue.armDeadline(nowMs);
    if (state.kind === "gone" || state.kind === "broken") return this.#queue.refuseAll(state.error);
    if (state.kind === "loading") return this.#queue.armDeadline(nowMs);
    if (state.candidate !== undefined) {
      this.#trial.look(nowMs);
      if (this.#trial.holds(state.version, nowMs)) return this.#queue.armDeadline(nowMs);
    }
    this.#dispatch.run(state.version, nowMs);
    this.#spare.releaseWithheld();
    if (this.#queue.size === 0) return;
    this.#queue.armDeadline(nowMs);
    this.#growth.consider(state.version, this.profileOf(state.version), nowMs);
  }

  #becameIdle(instance: Instance): void {
    const { current, candidate } = this.keeper;
    if (instance.version === candidate) return;
    if (instance.version !== current) return instance.destroy();
    if (candidate !== undefined && this.#host.options.pool.short && this.fleet.loaded(candidate) === 0)
      // What takes its place may be waiting for its memory.
      return instance.destroy();
    this.fleet.noteIdle(instance);
    if (!this.#host.isStarving(this, instance)) return;
    // Before its next call: the pool may give its memory to the one that starves.
    this.#growth.soon();
    this.#spare.release(instance);
  }

  #callLeft(instance: Instance): void {
    const free = instance.inFlight === 0;
    if (instance.state === "idle") this.#becameIdle(instance);
    // It takes no more calls, although it may still run some.
    else if (instance.state !== "busy") this.report.update();
    this.#dispatch.left();
    // Whoever stands in line for a slot comes before this function's next call.
    if (free) this.#host.slots.release();
    this.pump(performance.now());
    this.#spare.release(instance);
    this.#host.callOver();
  }

  startOne(version: CodeVersion): void {
    const { queueTimeoutMs: deadlineMs } = this.#host.options;
    const { reuse, spec } = this.profileOf(version);
    let instance = this.fleet.empty(version);
    if (instance === undefined) {
      instance = new Instance(version, reuse, this);
      this.keeper.hold(version);
      this.fleet.add(instance);
    }
    instance.start((signal) => this.#host.acquire(spec, version.packages, { signal, deadlineMs }));
  }

  /** The candidate has become the current code: its sandboxes take calls, those of the old code go. */
  promoted(): void {
    for (const instance of this.fleet)
      if (instance.state === "idle" && instance.version === this.keeper.current)
        this.fleet.noteIdle(instance);
    this.#retireOthers();
    this.#growth.soon();
    this.report.update();
    this.pump(performance.now());
    for (const instance of this.fleet) this.#spare.release(instance);
  }

  /** Instances of code that is not to be run go as soon as they are free. */
  #retireOthers(): void {
    const { state } = this.keeper;
    const current = state.kind === "broken" ? state.version : this.keeper.current;
    for (const instance of this.fleet)
      if (instance.version !== current && instance.version !== this.keeper.candidate) instance.retire();
  }

  #hasLive(): boolean {
    const { current } = this.keeper;
    return current !== undefined && this.fleet.hasLive(current);
  }

  /** A check of the code ended. */
  #codeChecked(): void {
    this.#retireOthers();
    if (this.keeper.awaitsPackages) this.#queue.waitLonger(this.#host.options.installWaitMs);
    if (this.keeper.state.kind === "gone") this.#host.forget(this);
    // Who waits for a sandbox to load other code than this waits in vain; not who waits for packages, however often that is asked.
    if (!this.#hasLive() && !this.keeper.awaitsPackages) this.#inquiry.tell();
    const nowMs = performance.now();
    if (this.#host.running) this.#trial.look(nowMs);
    this.#spare.keepWarm();
    this.#growth.soon();
    this.report.update();
    this.pump(nowMs);
  }

  profileOf(version: CodeVersion): Profile {
    return this.#profiles.of(version);
  }
}
