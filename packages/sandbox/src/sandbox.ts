import { type Logger, type OlError, isOlError, messageOf, within } from "@ol/common";

import type { EngineSandbox, KeepOrder, KeepOutcome, SandboxExit, SandboxSpec } from "./engine.ts";
import { sandboxError } from "./errors.ts";
import { exitError } from "./exit-error.ts";
import type { Call, CallFailure, CallHandle, CodeKind, ReplyHead, ReplySink } from "./frames/call.ts";
import type { ConnectionTimers } from "./frames/connection-options.ts";
import { GuestConnection } from "./frames/connection.ts";
import { HeldCalls } from "./held-calls.ts";
import { asNotStarted } from "./not-started.ts";
import { checkKeepOrders } from "./spec.ts";

/**
 * `starting`: the guest loads its code; calls are taken and wait for it. `ready`: calls run. `pausing`, `paused`,
 * `resuming`: its processes are stopped, or about to be, or about not to be; calls are taken and resume it.
 * `destroying`: nothing more is taken, its processes are being ended. `destroyed`: nothing of it is left.
 */
export type SandboxState =
  | "starting"
  | "ready"
  | "pausing"
  | "paused"
  | "resuming"
  | "destroying"
  | "destroyed";

/**
 * A whole reply. With a failure the body is JSON {type, message}, else a function's result as JSON, or what an app
 * answered.
 */
export interface Reply {
  readonly failure: CallFailure | undefined;
  /** There if an app replied. */
  readonly head: ReplyHead | undefined;
  readonly body: Buffer;
}

/** What it took to make a sandbox. */
export interface SandboxMaking {
  /** The wait for memory, in ms. */
  readonly waitedMs: number;
  /** What the engine needed, in ms, until it takes calls; its code may still be loading then. */
  readonly makeMs: number;
  /** When it was made; on the clock of performance.now(). */
  readonly madeMs: number;
}

/** Told of what happens to a sandbox; the pool. */
export interface SandboxObserver {
  ready(sandbox: Sandbox): void;
  /** Nobody needs it now. What this does may destroy it. */
  idle(sandbox: Sandbox): void;
  /** It is paused; what it holds stays as it is until it is resumed. */
  paused(sandbox: Sandbox): void;
  /**
   * It is about to be resumed, and is as soon as this settles: the place to find memory for it. A rejection leaves it
   * paused; whoever wanted it resumed, and every call that waits for that, hears the error.
   */
  resuming(sandbox: Sandbox): Promise<void> | void;
  /** It runs again. */
  resumed(sandbox: Sandbox): void;
  /** It takes no more calls. */
  destroying(sandbox: Sandbox): void;
  /** An EVENT of the guest, such as log, memory or retire. Only information. */
  guestEvent(sandbox: Sandbox, name: string, body: Buffer): void;
  /** Nothing of it is left. The last that is heard of it. */
  destroyed(sandbox: Sandbox): void;
}

/**
 * How long a sandbox may take to show how it ended after its connection closed, and the other way round. Longer than the
 * broker itself waits for the zygote's word (STATUS_GRACE_SEC in ol_host/nursery.py): on a machine with much to do that
 * comes late, and whoever called is told only once.
 */
const END_MS = 6_000;

const IGNORE = (): void => undefined;

/** One running sandbox: takes calls until it is destroyed, by its owner or because it broke. */
export class Sandbox implements AsyncDisposable {
  /** Unique within its pool. Readable for ever. */
  readonly id: string;
  /** What it was made from. Readable for ever. */
  readonly meta: SandboxSpec;
  /** Settles once every process of it is gone. Never rejects. */
  readonly exited: Promise<SandboxExit>;
  /**
   * Settles once the code is loaded. Rejects with OL_SANDBOX_IMPORT_FAILED and Python's text if it cannot be, or with
   * the reason why the sandbox ended before that. Nobody has to listen.
   */
  readonly ready: Promise<void>;
  /** What it took to make it; set by the pool. */
  making: SandboxMaking = { waitedMs: 0, makeMs: 0, madeMs: 0 };

  readonly #engineSandbox: EngineSandbox;
  readonly #connection: GuestConnection;
  readonly #observer: SandboxObserver;
  readonly #logger: Logger;
  #state: SandboxState = "starting";
  #loadedMs: number | undefined;
  #idle = false;
  #usedMs: number = performance.now();
  #uses = 0;
  #settleReady: (error?: OlError) => void = () => undefined;
  #destroyed: Promise<void> | undefined;
  readonly #held = new HeldCalls();
  /** The pause or resume that is under way. */
  #pausing: Promise<boolean> | undefined;
  #resuming: Promise<void> | undefined;
  /** Why it takes no calls. */
  #ended: OlError | undefined;

  /** Takes over what the engine made. */
  constructor(
    engineSandbox: EngineSandbox,
    meta: SandboxSpec,
    observer: SandboxObserver,
    logger: Logger,
    timers: Partial<ConnectionTimers> = {},
  ) {
    this.id = engineSandbox.id;
    this.meta = meta;
    this.exited = engineSandbox.exited;
    this.#engineSandbox = engineSandbox;
    this.#observer = observer;
    this.#logger = logger;
    this.ready = new Promise((resolve, reject) => {
      this.#settleReady = (error) => (error === undefined ? resolve() : reject(error));
    });
    this.ready.catch(() => undefined);
    const owner = {
      ready: () => this.#loaded(),
      retiring: (error: OlError) => this.#end(error),
      ended: (error: OlError | undefined) => void this.#disconnected(error),
      event: (name: string, body: Buffer) => this.#observer.guestEvent(this, name, body),
    };
    this.#connection = new GuestConnection(engineSandbox.connection, owner, timers);
    void this.#watchExit();
  }

  /**
   * When its code was loaded, on the clock of performance.now(); undefined before. Known before `ready` has settled for
   * whoever waits: with the guest's word a reply may come in one piece.
   */
  get loadedMs(): number | undefined {
    return this.#loadedMs;
  }

  /** What it is doing. */
  get state(): SandboxState {
    return this.#state;
  }

  /** Calls whose reply has not come in full. */
  get inFlight(): number {
    return this.#connection.inFlight + this.#held.size;
  }

  /** What its code is; undefined until it is loaded. */
  get kind(): CodeKind | undefined {
    return this.#connection.kind;
  }

  /** How many calls it takes at once: one runs and the others wait in it, or of an ASGI app all run. 1 until it has greeted. */
  get streams(): number {
    return this.#connection.streams;
  }

  /** Whether its owner said that nobody needs it now, and no call came since. */
  get idle(): boolean {
    return this.#idle && this.inFlight === 0;
  }

  /** When it was made or became idle last; on the clock of performance.now(). */
  get usedMs(): number {
    return this.#usedMs;
  }

  /** How many calls it was given. */
  get uses(): number {
    return this.#uses;
  }

  /** Why the sandbox takes no more calls; undefined while it does. */
  get ended(): OlError | undefined {
    return this.#ended;
  }

  /**
   * Runs a call; calls of one sandbox run one after the other, those of an ASGI app at once. All errors come to the sink, none is thrown, and
   * the sink hears nothing before this has returned. After a failed import the error is that one, otherwise after
   * the sandbox's end OL_SANDBOX_DESTROYED. A paused sandbox is resumed first.
   */
  invoke(call: Call, sink: ReplySink): CallHandle {
    this.#idle = false;
    this.#uses += 1;
    if (this.#state === "ready" || this.#state === "starting") return this.#connection.open(call, sink);
    if (this.#ended === undefined) {
      const handle = this.#held.add(call, sink);
      // They hear nothing before this has returned.
      queueMicrotask(() => this.#resumeForHeld());
      return handle;
    }
    const error = asNotStarted(this.#refusal(this.#ended));
    let wanted = true;
    queueMicrotask(() => {
      if (wanted) sink.fail(error);
    });
    const drop = (): void => void (wanted = false);
    return { resume: IGNORE, abandon: drop, cancel: drop, write: () => true, endBody: IGNORE };
  }

  /**
   * Runs a call whose body is there in full and collects its reply; rejects with what the sink of `invoke` would hear.
   */
  call(call: Call): Promise<Reply> {
    return new Promise((resolve, reject) => {
      let failure: CallFailure | undefined;
      let head: ReplyHead | undefined;
      const parts: Buffer[] = [];
      this.invoke(call, {
        whole: (failure, body, head) => resolve({ failure, head, body }),
        start: (itsFailure, itsHead) => {
          failure = itsFailure;
          head = itsHead;
        },
        chunk: (data) => parts.push(data) > 0,
        end: () => resolve({ failure, head, body: Buffer.concat(parts) }),
        fail: reject,
      });
    });
  }

  /**
   * Says that nobody needs it until the next call: when memory is short, the pool may destroy it, in this very call
   * too (`ended` tells). A sandbox that is not marked is kept, as is one with a call. Paused ones count as idle.
   */
  markIdle(): void {
    if (this.#ended !== undefined || this.inFlight > 0) return;
    this.#idle = true;
    this.#usedMs = performance.now();
    this.#observer.idle(this);
  }

  /** What it holds now, in bytes. */
  async memoryBytes(): Promise<number> {
    return this.#engineSandbox.memoryBytes();
  }

  /**
   * Stops its processes until a call comes or `resume` is called. True if it is paused now; false, and nothing done,
   * if it is not `ready`, or runs a call, or one came meanwhile. Fails with OL_SANDBOX_PAUSE_FAILED; then it runs on.
   */
  pause(): Promise<boolean> {
    if (this.#state === "paused") return Promise.resolve(true);
    if (this.#state === "pausing" && this.#pausing !== undefined) return this.#pausing;
    if (this.#state !== "ready" || this.inFlight > 0) return Promise.resolve(false);
    this.#state = "pausing";
    if (!this.#idle) this.#usedMs = performance.now();
    this.#pausing = this.#pause();
    return this.#pausing;
  }

  /**
   * Lets its processes run again; nothing happens if they do. Fails with what the pool's memory says, with
   * OL_SANDBOX_RESUME_FAILED (it is destroyed then), or if it has ended with OL_SANDBOX_DESTROYED.
   */
  resume(): Promise<void> {
    if (this.#ended !== undefined) return Promise.reject(this.#refusal(this.#ended));
    if (this.#state === "ready" || this.#state === "starting") return Promise.resolve();
    this.#resuming ??= this.#resume().finally(() => {
      this.#resuming = undefined;
      // It came when the others had heard already that there is no memory: nobody else would resume for it.
      if (this.#is("paused") && this.#held.size > 0) this.#resumeForHeld();
    });
    return this.#resuming;
  }

  /** Held calls hear of a failure themselves. */
  #resumeForHeld(): void {
    void this.resume().catch(() => undefined);
  }

  /**
   * Ends it at once: open calls hear OL_SANDBOX_DESTROYED with `reason` as its text. Settles when nothing of it is left;
   * never rejects. Idempotent.
   */
  destroy(reason = "The sandbox was destroyed."): Promise<void> {
    return this.#destroy(sandboxError("OL_SANDBOX_DESTROYED", reason));
  }

  /**
   * Ends it, and makes directories of its scratch package directories: see EngineSandbox. Settles when nothing else of it is
   * left. Fails with OL_SANDBOX_BAD_OPTIONS where the engine cannot, with OL_SANDBOX_DESTROYED if it has ended.
   */
  async keep(orders: readonly KeepOrder[]): Promise<readonly KeepOutcome[]> {
    checkKeepOrders(orders);
    if (this.#engineSandbox.keep === undefined)
      throw sandboxError("OL_SANDBOX_BAD_OPTIONS", "The engine has no directory for packages.");
    if (this.#ended !== undefined) throw this.#refusal(this.#ended);
    const kept = this.#engineSandbox.keep(orders);
    // By then it is ending already; what is left is to wait for it, and to tell everybody.
    await Promise.allSettled([kept, this.destroy("The sandbox was ended for what it made.")]);
    return kept;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.destroy();
  }

  #refusal(ended: OlError): OlError {
    if (ended.code === "OL_SANDBOX_IMPORT_FAILED" || ended.code === "OL_SANDBOX_DESTROYED") return ended;
    return sandboxError("OL_SANDBOX_DESTROYED", `The sandbox had ended before the call: ${ended.message}`, {
      cause: ended,
    });
  }

  async #pause(): Promise<boolean> {
    this.#connection.suspend();
    try {
      await this.#engineSandbox.pause();
    } catch (error) {
      if (!this.#is("pausing")) return false;
      this.#runsAgain();
      throw error;
    }
    if (!this.#is("pausing")) return false;
    this.#state = "paused";
    this.#observer.paused(this);
    // A call that came meanwhile is resuming it already, once this has returned.
    return this.#held.size === 0;
  }

  async #resume(): Promise<void> {
    // One that cannot be paused runs on, which is what is wanted here.
    if (this.#is("pausing")) await this.#pausing?.catch(() => undefined);
    if (this.#is("paused")) await this.#thaw();
    if (this.#ended !== undefined) throw this.#refusal(this.#ended);
  }

  async #thaw(): Promise<void> {
    this.#state = "resuming";
    try {
      await this.#observer.resuming(this);
    } catch (error) {
      // It was destroyed while it waited: that is what the caller hears.
      if (!this.#is("resuming")) return;
      this.#state = "paused";
      this.#held.fail(error as OlError);
      throw error;
    }
    if (!this.#is("resuming")) return;
    try {
      // Before its processes run, so that they find it first.
      this.#connection.notify("resumed");
      await this.#engineSandbox.resume();
    } catch (error) {
      const reason = isOlError(error) ? error : resumeError(error);
      void this.#destroy(reason);
      throw reason;
    }
    if (!this.#is("resuming")) return;
    this.#observer.resumed(this);
    this.#runsAgain();
  }

  #runsAgain(): void {
    this.#state = "ready";
    this.#connection.unsuspend();
    this.#held.release((call, sink) => this.#connection.open(call, sink));
    // Nobody needs it any more: whoever called it has given up.
    if (this.idle) this.#observer.idle(this);
  }

  /** The state after a wait, in which anything may have happened. */
  #is(state: SandboxState): boolean {
    return this.#state === state;
  }

  #loaded(): void {
    if (this.#state !== "starting") return;
    this.#state = "ready";
    this.#loadedMs = performance.now();
    this.#settleReady();
    this.#observer.ready(this);
  }

  /** From here on no call is taken. */
  #end(error: OlError): void {
    if (this.#ended !== undefined) return;
    this.#ended = error;
    this.#state = "destroying";
    this.#settleReady(error);
    this.#observer.destroying(this);
  }

  #destroy(error: OlError): Promise<void> {
    this.#end(error);
    // First, so that the guest's own end, once its connection closes, is known to be ours.
    this.#destroyed ??= this.#kill();
    this.#connection.fail(error);
    this.#held.fail(error);
    return this.#destroyed;
  }

  async #kill(): Promise<void> {
    try {
      await this.#engineSandbox.kill();
    } catch (error) {
      this.#logger.error("a sandbox could not be ended", { sandbox: this.id, error: messageOf(error) });
    }
    this.#state = "destroyed";
    this.#observer.destroyed(this);
  }

  /** Without an error the guest's side closed: its exit says why. */
  async #disconnected(error: OlError | undefined): Promise<void> {
    await this.#destroy(error ?? exitError(await within(this.exited, END_MS), this.meta));
  }

  /** The processes are gone: the connection closes too, after what still lies in it was read. */
  async #watchExit(): Promise<void> {
    const exit = await this.exited;
    const closed = new Promise<true>((resolve) => {
      if (this.#engineSandbox.connection.closed) resolve(true);
      else this.#engineSandbox.connection.once("close", () => resolve(true));
    });
    if ((await within(closed, END_MS)) === undefined) await this.#destroy(exitError(exit, this.meta));
  }
}

const resumeError = (cause: unknown): OlError =>
  sandboxError("OL_SANDBOX_RESUME_FAILED", `The sandbox could not be resumed: ${messageOf(cause)}`, {
    cause,
  });
