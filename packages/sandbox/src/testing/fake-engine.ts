import type {
  Enforcement,
  EngineSandbox,
  EngineStats,
  EngineZygote,
  SandboxEngine,
  SandboxExit,
  SandboxSpec,
  ZygoteImport,
  ZygoteSpec,
} from "../engine.ts";
import { sandboxError } from "../errors.ts";
import { FAKE_HANDLERS } from "./fake-handlers.ts";
import { type FakeCode, FakeGuest } from "./fake-guest.ts";
import { FakeZygotes } from "./fake-zygotes.ts";
import { socketPair } from "./socket-pair.ts";

/** How a FakeEngine differs from one that does everything at once. */
export interface FakeEngineOptions {
  /** Code by the `code` of a spec, besides the conformance handlers; default: none. */
  readonly code?: Readonly<Record<string, FakeCode>>;
  /** Runs before a sandbox is made; what it throws is why it is not made. May wait. Default: nothing runs. */
  readonly beforeCreate?: (id: string, spec: SandboxSpec, signal?: AbortSignal) => unknown;
  /** Runs before a sandbox is paused; what it throws is why it is not. May wait. Default: nothing runs. */
  readonly beforePause?: (id: string) => unknown;
  /** Runs before a sandbox is resumed; what it throws is why it is not. May wait. Default: nothing runs. */
  readonly beforeResume?: (id: string) => unknown;
  /** What a sandbox says it holds, in bytes; default 1,000,000. */
  readonly memoryBytes?: (id: string) => number;
  /** Runs before a zygote is made; what it throws is why it is not made. May wait. Default: nothing runs. */
  readonly beforeZygote?: (id: string, spec: ZygoteSpec, signal?: AbortSignal) => unknown;
  /** How a zygote's import went, as far as it differs; default: 1 ms, 1 MB and nothing sought. */
  readonly zygoteImport?: (id: string, spec: ZygoteSpec) => Partial<ZygoteImport>;
  /** Whether its zygotes find a module; default: those of the conformance suite. */
  readonly findsModule?: (name: string) => boolean;
  /** Runs when a sandbox's connection has closed, before it is told how it ended. May wait. Default: nothing runs. */
  readonly beforeExit?: (id: string) => Promise<void>;
  /** Runs when a sandbox is killed, before it is gone. May wait. Default: nothing runs. */
  readonly beforeGone?: (id: string) => unknown;
}

const ENFORCEMENT: Enforcement = {
  memory: "none",
  procs: "none",
  cpu: "none",
  pause: "none",
  scratch: "none",
  rootless: true,
  notes: ["A fake engine isolates nothing; it is for tests."],
};

const FAKE_BYTES = 1_000_000;

/**
 * An engine for tests: sandboxes are objects of this process whose guests speak real frames and run JavaScript
 * functions. Passes the conformance suite.
 */
export class FakeEngine implements SandboxEngine {
  readonly name = "fake";
  readonly enforcement: Enforcement = ENFORCEMENT;
  readonly lost: Promise<string>;
  readonly #options: FakeEngineOptions;
  readonly #code: Readonly<Record<string, FakeCode>>;
  readonly #sandboxes = new Map<string, FakeSandbox>();
  readonly #zygotes: FakeZygotes;
  #settleLost: (reason: string) => void = () => undefined;
  #created = 0;
  #destroyed = 0;
  #closed = false;

  constructor(options: FakeEngineOptions = {}) {
    this.#options = options;
    this.#code = { ...FAKE_HANDLERS, ...options.code };
    this.#zygotes = new FakeZygotes(options.findsModule);
    this.lost = new Promise((resolve) => (this.#settleLost = resolve));
  }

  async create(id: string, spec: SandboxSpec, signal?: AbortSignal): Promise<EngineSandbox> {
    await this.#options.beforeCreate?.(id, spec, signal);
    if (this.#closed) throw sandboxError("OL_SANDBOX_CLOSED", "The engine is closed.");
    if (spec.zygote !== undefined) this.#zygotes.find(spec.zygote, spec.network);
    const code = this.#code[spec.code];
    if (code === undefined)
      throw sandboxError("OL_SANDBOX_CREATE_FAILED", `There is no code directory ${spec.code}.`);
    const gone = async (): Promise<void> => {
      await this.#options.beforeGone?.(id);
      this.#sandboxes.delete(id);
      this.#destroyed += 1;
    };
    const sandbox = new FakeSandbox(id, spec, code, gone, this.#options);
    this.#sandboxes.set(id, sandbox);
    this.#created += 1;
    return sandbox;
  }

  async createZygote(id: string, spec: ZygoteSpec, signal?: AbortSignal): Promise<EngineZygote> {
    await this.#options.beforeZygote?.(id, spec, signal);
    signal?.throwIfAborted();
    if (this.#closed) throw sandboxError("OL_SANDBOX_CLOSED", "The engine is closed.");
    return this.#zygotes.make(id, spec, this.#options.zygoteImport?.(id, spec));
  }

  stats(): EngineStats {
    return {
      sandboxes: this.#sandboxes.size,
      created: this.#created,
      destroyed: this.#destroyed,
      prepared: 0,
      preparedMb: 0,
      zygotes: this.#zygotes.size,
    };
  }

  /** Ends a sandbox from the inside, as an exit, a signal or the memory limit does. */
  end(id: string, exit: SandboxExit): void {
    this.#sandboxes.get(id)?.end(exit);
  }

  /** Ends a zygote from the inside. */
  endZygote(id: string, exit: SandboxExit): void {
    this.#zygotes.end(id, exit);
  }

  /** As if the engine's host process died: every sandbox is gone, no more can be made. */
  lose(): void {
    this.#closed = true;
    for (const sandbox of this.#sandboxes.values()) sandbox.end({ reason: "lost" });
    this.#zygotes.endAll({ reason: "lost" });
    this.#settleLost("the fake engine was told to be lost");
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#zygotes.endAll({ reason: "killed" });
    await Promise.all([...this.#sandboxes.values()].map((sandbox) => sandbox.kill()));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

class FakeSandbox implements EngineSandbox {
  readonly id: string;
  readonly connection: EngineSandbox["connection"];
  readonly exited: Promise<SandboxExit>;
  readonly #guestEnd: EngineSandbox["connection"];
  readonly #guest: FakeGuest;
  readonly #gone: () => Promise<void>;
  readonly #options: FakeEngineOptions;
  #settleExited: (exit: SandboxExit) => void = () => undefined;
  #killed: Promise<void> | undefined;

  constructor(
    id: string,
    spec: SandboxSpec,
    code: FakeCode,
    gone: () => Promise<void>,
    options: FakeEngineOptions,
  ) {
    this.id = id;
    this.#options = options;
    this.#gone = gone;
    this.exited = new Promise((resolve) => (this.#settleExited = resolve));
    [this.connection, this.#guestEnd] = socketPair();
    this.#guest = new FakeGuest(this.#guestEnd, code, spec, (exit) => this.end(exit));
  }

  async pause(): Promise<void> {
    await this.#options.beforePause?.(this.id);
    this.#guest.freeze();
  }

  async resume(): Promise<void> {
    await this.#options.beforeResume?.(this.id);
    this.#guest.thaw();
  }

  memoryBytes(): Promise<number> {
    return Promise.resolve(this.#options.memoryBytes?.(this.id) ?? FAKE_BYTES);
  }

  end(exit: SandboxExit): void {
    if (this.#options.beforeExit === undefined) this.#settleExited(exit);
    else void this.#options.beforeExit(this.id).then(() => this.#settleExited(exit));
    this.#guest.stop();
    this.#guestEnd.end();
  }

  kill(): Promise<void> {
    this.#killed ??= this.#kill();
    return this.#killed;
  }

  async #kill(): Promise<void> {
    this.end({ reason: "killed" });
    this.#guestEnd.destroy();
    await this.#gone();
  }
}
