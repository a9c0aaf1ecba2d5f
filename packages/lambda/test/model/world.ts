import { SandboxPool, type SandboxState } from "@ol/sandbox";
import { FakeEngine } from "@ol/sandbox/testing";

import { LambdaManager } from "../../src/index.ts";
import { LIMITS } from "../harness.ts";
import { AUTOSCALERS, type Autoscaling } from "./autoscalers.ts";
import { VirtualClock } from "./clock.ts";
import { type Deed, makeLambdas } from "./lambdas.ts";
import { checkAdmission, queueRoom } from "./admission.ts";
import { type Manner, ModelCall } from "./model-call.ts";
import { Index } from "./packages.ts";
import { Registry, type Version } from "./registry.ts";
import { NO_TROUBLE, troubled, type Trouble } from "./trouble.ts";
import { type Watched, WatchedSandboxes } from "./watched-sandboxes.ts";
import { ToldBalancer } from "./told.ts";

/** What one world is made with. */
export interface Settings {
  readonly slots: number;
  readonly memoryMb: number;
  readonly maxQueued: number;
  readonly maxQueuedPerFunction: number;
  readonly maxUnreadBytes: number;
  readonly pauseLingerMs: number;
  readonly registryCacheMs: number;
  readonly autoscaling: Autoscaling;
}

export const MEMORY_MB = 50;
export const RUNTIME_SEC = 3;
export const QUEUE_TIMEOUT_MS = 2_000;
export const INSTALL_WAIT_MS = 4_000;
/** Shorter than calls run: memory does not always come back in time. */
const RESUME_MS = 700;
/** So often within that time nobody asks for a sandbox, or for a slot, but in a circle. */
const MOST_SANDBOXES = 400;
const MOST_SLOTS = 20_000;
const CIRCLE_MS = 100;

/** States in which a sandbox may use all of its memory. */
const RUNS: ReadonlySet<SandboxState> = new Set(["starting", "ready", "pausing"]);

/** A manager over a fake engine, and what a model that watches it from outside knows. */
export class World {
  readonly told: ToldBalancer = new ToldBalancer();
  readonly clock: VirtualClock = new VirtualClock();
  readonly settings: Settings;
  /** How often what happened, in all worlds with this tally. */
  readonly tally: Record<string, number>;
  readonly trouble: Trouble = { ...NO_TROUBLE, wasSlow: false };
  readonly registry: Registry;
  readonly engine: FakeEngine;
  readonly pool: SandboxPool;
  readonly manager: LambdaManager;
  readonly sandboxes: WatchedSandboxes;
  /** Calls that are not over. */
  readonly open: Set<ModelCall> = new Set();
  readonly #calls = new Map<string, ModelCall>();
  /** When a lambda was called last. */
  readonly calledMs: Map<string, number> = new Map();
  /** How many calls ended how. */
  readonly ended: Record<string, number> = {};
  /** Of the lambdas of this world, those that have run code that can be run, and did not lose it since. */
  readonly proven: Set<string> = new Set();
  /** Those who ask for a lambda's kind. */
  readonly learners: Set<{ readonly lambda: string; readonly sinceMs: number }> = new Set();
  readonly faults: string[] = [];
  readonly #asked = new Map<string, { readonly sinceMs: number; readonly count: number }>();

  constructor(settings: Settings, tally: Record<string, number>) {
    this.settings = settings;
    this.tally = tally;
    this.registry = new Registry((text) => this.fault(text));
    const code = makeLambdas((id, version) => this.#ran(id, version));
    this.engine = new FakeEngine({ ...troubled(this.trouble), code });
    this.pool = SandboxPool.create({ engine: this.engine, memoryMb: settings.memoryMb, resumeMs: RESUME_MS });
    this.sandboxes = new WatchedSandboxes(this.pool, {
      callOf: (id) => this.#calls.get(id) as ModelCall,
      handed: (watched, call) => this.#handed(watched, call),
      unread: (call, bytes) => this.#unread(call, bytes),
      changed: () => this.#checkMemory(),
      fault: (text) => this.fault(text),
    });
    for (const name of ["create", "evict", "paused", "resumed"] as const)
      this.pool.on(name, () => this.#note(name));
    this.manager = new LambdaManager({
      ...settings,
      autoscaler: AUTOSCALERS[settings.autoscaling],
      pool: this.pool,
      source: this.registry,
      packages: new Index(this.registry),
      installWaitMs: INSTALL_WAIT_MS,
      limits: { ...LIMITS, memoryMb: MEMORY_MB, runtimeSec: RUNTIME_SEC },
      network: "none",
      cpus: 2,
      queueTimeoutMs: QUEUE_TIMEOUT_MS,
    });
    this.#guard();
  }

  fault(text: string): void {
    this.faults.push(text);
  }

  /** Calls made so far. */
  get called(): number {
    return this.#calls.size;
  }

  call(lambda: string, deed: Deed, waitMs?: number, manner: Manner = "whole"): ModelCall {
    const id = `c${this.#calls.size + 1}`;
    const call = new ModelCall(id, lambda, deed, manner, (text) => this.fault(text));
    const room = queueRoom(this, lambda);
    this.#calls.set(id, call);
    this.open.add(call);
    this.calledMs.set(lambda, call.sinceMs);
    const request = {
      invocationId: id,
      ...this.#bodyOf(call),
      traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
      rawHeaders: [],
      http: { method: "POST", mount: `/run/${lambda}`, path: "", query: "", client: "127.0.0.1" },
      waitMs,
    };
    call.invocation = this.manager.invoke(lambda, request, call);
    checkAdmission(this, call, room);
    return call;
  }

  #bodyOf(call: ModelCall): { readonly body: Buffer; readonly bodyFollows: boolean } {
    const text = Buffer.from(JSON.stringify({ id: call.id, deed: call.deed }));
    if (call.manner !== "pieces" && call.manner !== "stalls") return { body: text, bodyFollows: false };
    call.rest.push(text.subarray(5));
    return { body: text.subarray(0, 5), bodyFollows: true };
  }

  /** Asks for a lambda's kind; that has to be answered in the end. */
  learn(lambda: string): void {
    const asked = { lambda, sinceMs: performance.now() };
    this.learners.add(asked);
    const over = (): void => void this.learners.delete(asked);
    this.manager.learn(lambda).then(over, over);
  }

  /** Counts those that are over. */
  tidy(): void {
    for (const call of this.open) {
      if (!call.over) continue;
      if (call.phase === "answered" && !call.told) this.fault(`${call.id} was answered, and nobody heard it`);
      if (call.phase === "answered" && call.runs === 0) this.fault(`${call.id} was answered, and never ran`);
      this.open.delete(call);
      this.#note(call.code === undefined ? call.phase : `${call.phase}: ${call.code}`);
      this.ended[call.phase] = (this.ended[call.phase] ?? 0) + 1;
    }
  }

  #note(what: string): void {
    this.tally[what] = (this.tally[what] ?? 0) + 1;
  }

  /** As many as there are of a lambda in these phases; of all without a name. */
  count(phases: readonly ModelCall["phase"][], lambda?: string): number {
    let count = 0;
    for (const call of this.open)
      if (phases.includes(call.phase) && (lambda === undefined || call.lambda === lambda)) count += 1;
    return count;
  }

  /** Ends everything, as far as that goes. */
  async end(): Promise<void> {
    Object.assign(this.trouble, NO_TROUBLE);
    const closed = this.manager
      .close()
      .then(() => this.pool.close())
      .then(() => this.engine.close());
    await this.clock.advance(60_000);
    await closed;
    this.clock.release();
  }

  #ran(id: string, version: string): void {
    const call = this.#calls.get(id) as ModelCall;
    call.ran(version);
    const watched = this.sandboxes.all.get(call.sandbox ?? "");
    if (watched === undefined) return this.fault(`${id} ran in no sandbox`);
    watched.ran += 1;
    const { config } = this.registry.versions.get(version) as Version;
    if (config.reuseSandbox === false && watched.ran > 1)
      this.fault(`${watched.sandbox.id} ran ${watched.ran} calls, and is to run one: ${version}`);
  }

  #handed({ sandbox, version, open }: Watched, call: ModelCall): void {
    if (sandbox.meta.name !== call.lambda) this.fault(`${call.id} went to a sandbox of ${sandbox.meta.name}`);
    if (!this.registry.see(call.lambda, version))
      this.fault(`${call.id} was handed to ${version} after newer code`);
    const { config, kind } = this.registry.versions.get(version) as Version;
    const most = kind === "asgi" && sandbox.kind === "asgi" ? (config.concurrency ?? 1) : 16;
    if (open.size >= most) this.fault(`${sandbox.id} has ${open.size} calls, ${most} are the most`);
    if (open.size > 0) this.#note(most === 16 ? "handed behind others" : "handed beside others");
    if (call.sandbox !== undefined) this.#note("handed over again");
  }

  #unread(call: ModelCall, bytes: number): boolean {
    let sum = bytes;
    for (const { phase, unreadBytes } of this.open) if (phase === "unread") sum += unreadBytes;
    const fits = sum <= this.settings.maxUnreadBytes;
    this.#note(fits ? "left its sandbox unread" : "holds its sandbox unread");
    call.unreadBytes = bytes;
    return fits;
  }

  #checkMemory(): void {
    const { promisedMb, memoryMb } = this.pool.stats();
    if (promisedMb > memoryMb) this.fault(`${promisedMb} MB are promised of ${memoryMb}`);
    let runningMb = 0;
    for (const { sandbox } of this.sandboxes.all.values())
      if (RUNS.has(sandbox.state)) runningMb += sandbox.meta.limits.memoryMb;
    if (runningMb > memoryMb) this.fault(`what runs may hold ${runningMb} MB of ${memoryMb}`);
  }

  /** Circles would be run through for ever: they become faults. */
  #guard(): void {
    const { pool, manager } = this;
    const acquire = pool.acquire.bind(pool);
    pool.acquire = (...asked) => {
      if (this.#circles("a sandbox", MOST_SANDBOXES)) return new Promise(() => undefined);
      return acquire(...asked);
    };
    const wait = manager.slots.wait.bind(manager.slots);
    manager.slots.wait = (waiter) => {
      if (!this.#circles("a slot", MOST_SLOTS)) wait(waiter);
    };
  }

  #circles(what: string, most: number): boolean {
    const ms = performance.now();
    const asked = this.#asked.get(what);
    const count = asked === undefined || ms - asked.sinceMs >= CIRCLE_MS ? 1 : asked.count + 1;
    this.#asked.set(what, { sinceMs: count === 1 ? ms : (asked?.sinceMs ?? ms), count });
    if (count === most) this.fault(`${count} times within ${CIRCLE_MS} ms somebody asked for ${what}`);
    return count >= most;
  }
}
