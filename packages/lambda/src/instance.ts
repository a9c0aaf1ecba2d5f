import type { OlError } from "@ol/common";
import { isNotStarted, type Sandbox, type SandboxErrorCode } from "@ol/sandbox";

import type { CodeVersion } from "./code-state.ts";
import type { CallRunner, ColdStart, PendingCall } from "./pending-call.ts";
import { isPaidOff } from "./policy.ts";

/**
 * empty: no sandbox · starting: one was asked for · idle: has one, no call · busy: runs calls · ending: the sandbox
 * is over, calls of it are still to be told · retiring: takes no more calls and goes with its last one · gone: never
 * used again.
 */
export type InstanceState = "empty" | "starting" | "idle" | "busy" | "ending" | "retiring" | "gone";

/** What an instance tells its function. */
export interface InstanceOwner {
  /** It has got a sandbox, and no call yet. */
  instanceIdle(instance: Instance, sandbox: Sandbox): void;
  /** A call ended and the sandbox lives on; `runMs` is undefined if the code was loaded in that time. */
  callDone(instance: Instance, call: PendingCall, runMs: number | undefined): void;
  /** A call was cut short, because the sandbox ended or has to. */
  callCut(instance: Instance, call: PendingCall, error: OlError): void;
  /** A call comes back that certainly has not begun: its sandbox ended, or is busy with another one. */
  callReturned(instance: Instance, call: PendingCall, error: OlError): void;
  /** The sandbox ended; the instance is empty. */
  sandboxLost(instance: Instance): void;
  /** No sandbox could be had. The instance is empty. */
  startFailed(instance: Instance, error: unknown): void;
  /** The code is loaded; `startMs` after the sandbox was asked for. */
  codeLoaded(instance: Instance, startMs: number): void;
  /** The sandbox ended while it loaded the code, with no call to hear of it. */
  loadingEnded(error: OlError): void;
  /** The code cannot be loaded. */
  importFailed(instance: Instance, error: OlError): void;
  /** It is gone, and uses its version of the code no longer. */
  instanceGone(instance: Instance): void;
  /** A sandbox will end in a moment, without anybody's doing. */
  endsByItself(sandbox: Sandbox): void;
  /** A sandbox is being destroyed: settles when its memory is free again. */
  destroying(done: Promise<void>): void;
}

/**
 * A call that failed with one of these was refused before anything was written, or an app failed in it and no other; the
 * sandbox is none the worse. Without memory a paused one stays paused.
 */
const NOT_THE_SANDBOX: ReadonlySet<string> = new Set([
  "OL_SANDBOX_BAD_OPTIONS",
  "OL_SANDBOX_HEADERS_TOO_LARGE",
  "OL_SANDBOX_NO_MEMORY",
  "OL_SANDBOX_RECALLED",
  "OL_SANDBOX_CANCELLED",
  "OL_SANDBOX_APP_FAILED",
  "OL_SANDBOX_BAD_REPLY",
] satisfies SandboxErrorCode[]);

/** A virtual sandbox: backed by none or one real one, for one version of the code. */
export class Instance implements CallRunner {
  readonly version: CodeVersion;
  /** False: its sandbox runs one call. */
  readonly reuse: boolean;
  /** Since when it has been idle, or was busy last; on the clock of performance.now(). */
  usedMs: number = performance.now();
  /** When its sandbox was had; orders who gives way when memory is short. */
  sandboxSinceMs = 0;
  #state: InstanceState = "empty";
  #sandbox: Sandbox | undefined;
  /** The sandbox of whose loading the owner has not heard. */
  #unloaded: Sandbox | undefined;
  #answered = 0;
  #askedMs = 0;
  #cold: ColdStart | undefined;
  /** Oldest first; so few that an array is the quickest. */
  readonly #calls: PendingCall[] = [];
  #starting: AbortController | undefined;
  readonly #owner: InstanceOwner;

  constructor(version: CodeVersion, reuse: boolean, owner: InstanceOwner) {
    this.version = version;
    this.reuse = reuse;
    this.#owner = owner;
  }

  get state(): InstanceState {
    return this.#state;
  }

  get sandbox(): Sandbox | undefined {
    return this.#sandbox;
  }

  get inFlight(): number {
    return this.#calls.length;
  }

  /** Whether it has a sandbox that still takes calls; it may have ended a moment ago. */
  get usable(): boolean {
    return this.#sandbox !== undefined && this.#sandbox.ended === undefined;
  }

  /** How many calls its sandbox takes at once. */
  get streams(): number {
    return this.#sandbox?.streams ?? 1;
  }

  /** Whether its sandbox has answered a call. */
  get proven(): boolean {
    return this.#answered > 0;
  }

  /** Whether its sandbox is on its way or still loads the code. */
  get loading(): boolean {
    return this.#state === "starting" || (this.#sandbox !== undefined && this.#loadedMs === undefined);
  }

  /** Whether its sandbox may end for another function's although its own has work for it: see `isPaidOff`. */
  paidOff(nowMs: number): boolean {
    const { makeMs = 0, madeMs = 0 } = this.#sandbox?.making ?? {};
    return isPaidOff({
      sinceMs: this.sandboxSinceMs,
      makeMs,
      madeMs,
      loadedMs: this.#loadedMs,
      proven: this.proven,
      nowMs,
    });
  }

  /** How long the running call has run with its code loaded. */
  runningMs(nowMs: number): number {
    const call = this.#calls[0];
    const loadedMs = this.#loadedMs;
    return call === undefined || loadedMs === undefined ? 0 : nowMs - Math.max(call.runningSinceMs, loadedMs);
  }

  /** Asks for a sandbox; the owner hears how it went. Only when empty. */
  start(acquire: (signal: AbortSignal) => Promise<Sandbox>): void {
    this.#state = "starting";
    const abort = new AbortController();
    this.#starting = abort;
    this.#askedMs = performance.now();
    acquire(abort.signal).then(
      (sandbox) => this.#acquired(sandbox),
      (error: unknown) => this.#startFailed(error),
    );
  }

  /** Hands a call over. Only when idle, or busy and pipelining is allowed. */
  run(call: PendingCall, timeoutMs: number, nowMs: number): void {
    const sandbox = this.#sandbox as Sandbox;
    this.#state = "busy";
    this.#calls.push(call);
    if (this.#answered === 0) call.cold = this.#coldOf(call);
    call.begin(this, timeoutMs, nowMs, this.version.kind);
    call.attach(sandbox.invoke(call, call));
  }

  /** Takes no more calls; destroyed at once if it runs none. */
  retire(): void {
    if (this.#calls.length === 0) this.destroy();
    else this.#state = "retiring";
  }

  /** If it is idle, the pool may have its sandbox, at once or later; then it hears `sandboxEnding`. */
  release(): void {
    if (this.#state === "idle" && this.#sandbox?.idle === false) this.#sandbox.markIdle();
  }

  /** Its sandbox takes no more calls. Those it has fail through the sandbox, and come through `callFailed`. */
  sandboxEnding(): void {
    if (this.#state !== "idle") return;
    const error = this.#sandbox?.ended;
    if (error?.code === "OL_SANDBOX_IMPORT_FAILED") this.#owner.importFailed(this, error);
    else if (error !== undefined && this.loading) this.#owner.loadingEnded(error);
    this.#endedBetweenCalls();
  }

  /** Ends the sandbox now; what it runs fails through the sandbox. */
  destroy(): void {
    if (this.#state === "gone") return;
    this.#state = "gone";
    this.#starting?.abort();
    this.#dropSandbox();
    this.#owner.instanceGone(this);
  }

  callEnded(call: PendingCall): void {
    const nowMs = performance.now();
    this.#tellLoaded();
    this.#remove(call, nowMs);
    // The first call may have waited for the code to be loaded: that says nothing of its run time.
    const runMs = this.#answered === 0 ? undefined : nowMs - call.runningSinceMs;
    this.#answered += 1;
    this.usedMs = nowMs;
    this.#noLongerRuns(this.reuse);
    this.#owner.callDone(this, call, runMs);
    if (!this.reuse && this.#state === "ending") this.#dropSandbox();
    this.#endIfOver();
  }

  callReturned(call: PendingCall, error: OlError): void {
    this.#remove(call, performance.now());
    const alive = NOT_THE_SANDBOX.has(error.code);
    // The one before it may have been answered first: the guest had read neither the call nor that it was asked back.
    this.#noLongerRuns(alive);
    this.#owner.callReturned(this, call, error);
    if (!alive) this.#dropSandbox();
    this.#endIfOver();
  }

  callFailed(call: PendingCall, error: OlError): void {
    this.#remove(call, performance.now());
    // One that is for a single call has had it, however that went.
    const alive = NOT_THE_SANDBOX.has(error.code) && (this.reuse || isNotStarted(error));
    this.#noLongerRuns(alive);
    this.#owner.callCut(this, call, error);
    // After a call over its time the guest has a moment for its `finally` blocks.
    if (error.code === "OL_SANDBOX_TIMEOUT") this.#leaveSandbox();
    // Ends the other call too, if there is one: it comes back here.
    else if (!alive) this.#dropSandbox();
    this.#endIfOver();
  }

  /** What a first call waits for: not for what was over before it came, as it is where a sandbox is kept warm. */
  #coldOf({ sinceMs }: PendingCall): ColdStart | undefined {
    if (sinceMs < this.sandboxSinceMs) return this.#cold;
    const loadedMs = this.#loadedMs;
    if (loadedMs !== undefined && loadedMs <= sinceMs) return undefined;
    return coldStart(this.#sandbox as Sandbox, 0, 0);
  }

  /** It has one call less; `alive`: its sandbox takes others. */
  #noLongerRuns(alive: boolean): void {
    if (this.#state !== "busy") return;
    if (!alive) this.#state = "ending";
    else if (this.#calls.length === 0) this.#state = "idle";
  }

  #remove(call: PendingCall, nowMs: number): void {
    call.endedMs = nowMs;
    if (this.#calls[0] !== call || this.version.kind === "asgi") {
      this.#calls.splice(this.#calls.indexOf(call), 1);
      return;
    }
    this.#calls.shift();
    const next = this.#calls[0];
    if (next !== undefined) next.runningSinceMs = nowMs;
  }

  #acquired(sandbox: Sandbox): void {
    this.#starting = undefined;
    if (this.#state !== "starting") {
      // Retired while it was being made.
      this.#owner.destroying(sandbox.destroy());
      return;
    }
    this.#sandbox = sandbox;
    this.#state = "idle";
    this.usedMs = performance.now();
    this.sandboxSinceMs = this.usedMs;
    this.#unloaded = sandbox;
    this.#answered = 0;
    const { waitedMs, makeMs } = sandbox.making;
    this.#cold = coldStart(sandbox, waitedMs, makeMs);
    void this.#watchLoading(sandbox);
    this.#owner.instanceIdle(this, sandbox);
    // It may have broken between being made and being handed over.
    if (this.#sandbox === sandbox && sandbox.ended !== undefined) this.sandboxEnding();
  }

  async #watchLoading(sandbox: Sandbox): Promise<void> {
    try {
      await sandbox.ready;
    } catch {
      // Told by `sandboxEnding`, or by its calls.
      return;
    }
    if (this.#sandbox === sandbox) this.#tellLoaded();
  }

  /** Once for each sandbox. A reply that comes together with the word that the code is loaded is there before `ready` settles. */
  #tellLoaded(): void {
    const loadedMs = this.#unloaded?.loadedMs;
    if (loadedMs === undefined) return;
    this.#unloaded = undefined;
    this.#owner.codeLoaded(this, loadedMs - this.#askedMs);
  }

  get #loadedMs(): number | undefined {
    return this.#sandbox?.loadedMs;
  }

  #startFailed(error: unknown): void {
    this.#starting = undefined;
    if (this.#state !== "starting") return;
    this.#state = "empty";
    this.#owner.startFailed(this, error);
  }

  #endedBetweenCalls(): void {
    if (this.#state !== "idle") return;
    this.#state = "ending";
    this.#dropSandbox();
    this.#endIfOver();
  }

  /** The last call of an instance that takes no more. May be called again, from within what it sets off. */
  #endIfOver(): void {
    if (this.#calls.length > 0) return;
    if (this.#state === "retiring") this.destroy();
    if (this.#state !== "ending") return;
    this.#state = "empty";
    this.usedMs = performance.now();
    this.#owner.sandboxLost(this);
  }

  /** Its sandbox ends by itself, and is nobody's until then. */
  #leaveSandbox(): void {
    const sandbox = this.#sandbox;
    this.#sandbox = undefined;
    if (sandbox !== undefined) this.#owner.endsByItself(sandbox);
  }

  #dropSandbox(): void {
    const sandbox = this.#sandbox;
    this.#sandbox = undefined;
    this.#unloaded = undefined;
    if (sandbox !== undefined) this.#owner.destroying(sandbox.destroy());
  }
}

const coldStart = (sandbox: Sandbox, memoryMs: number, forkMs: number): ColdStart => ({
  memoryMs,
  forkMs,
  get readyMs() {
    return sandbox.loadedMs;
  },
});
