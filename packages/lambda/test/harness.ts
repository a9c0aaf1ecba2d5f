import type { OlError } from "@ol/common";
import type { CallFailure, ReplySink } from "@ol/sandbox";
import { SandboxPool } from "@ol/sandbox";
import { type FakeCode, FakeEngine, type FakeEngineOptions } from "@ol/sandbox/testing";
import { onTestFinished } from "vitest";

import {
  type CodeSource,
  type Invocation,
  type LambdaCode,
  type LambdaManagerOptions,
  LambdaManager,
  lambdaError,
} from "../src/index.ts";

/** One lambda's code in a FakeSource. */
export interface FakeVersion {
  /** Key of the fake engine's code. */
  readonly dir: string;
  readonly limits?: LambdaCode["config"]["limits"];
  readonly methods?: readonly string[];
  /** The rest of its ol.yaml. */
  readonly config?: Partial<LambdaCode["config"]>;
}

const isKept = (version: FakeVersion | Error): boolean =>
  !(version instanceof Error) && (version.config?.minInstances ?? 0) > 0;

/** A code source in memory, whose code tests change. */
export class FakeSource implements CodeSource {
  readonly lambdas = new Map<string, FakeVersion | Error>();
  /** What was resolved and not released, by digest. */
  readonly held = new Map<string, number>();
  resolved = 0;
  checked = 0;
  /** Awaited before each answer. */
  before: () => Promise<void> | void = () => undefined;

  async resolve(name: string): Promise<LambdaCode> {
    this.resolved += 1;
    await this.before();
    const version = this.#find(name);
    const { dir, limits = {}, methods } = version;
    this.held.set(dir, (this.held.get(dir) ?? 0) + 1);
    const config = {
      environment: {},
      limits,
      ...version.config,
      ...(methods === undefined ? {} : { methods }),
    };
    return { name, digest: dir, dir, stamp: dir, config };
  }

  async current(name: string): Promise<string> {
    this.checked += 1;
    await this.before();
    return this.#find(name).dir;
  }

  async kept(): Promise<readonly string[]> {
    return [...this.lambdas].filter(([, version]) => isKept(version)).map(([name]) => name);
  }

  release(code: LambdaCode): void {
    this.held.set(code.digest, (this.held.get(code.digest) ?? 0) - 1);
  }

  #find(name: string): FakeVersion {
    const version = this.lambdas.get(name);
    if (version === undefined) throw lambdaError("OL_LAMBDA_UNKNOWN", `there is no lambda ${name}`);
    if (version instanceof Error) throw version;
    return version;
  }
}

/** How a call ended. */
export type Outcome =
  | { readonly failure: CallFailure | undefined; readonly body: string }
  | { readonly error: OlError };

/** A sink that keeps count of how often it was told that the call is over. */
export class RecordingSink implements ReplySink {
  readonly outcome: Promise<Outcome>;
  outcomes = 0;
  full = false;
  readonly parts: Buffer[] = [];
  #failure: CallFailure | undefined;
  #settle: (outcome: Outcome) => void = () => undefined;

  constructor() {
    this.outcome = new Promise((resolve) => (this.#settle = resolve));
  }

  whole(failure: CallFailure | undefined, body: Buffer): void {
    this.#over({ failure, body: body.toString() });
  }

  start(failure: CallFailure | undefined): void {
    this.#failure = failure;
  }

  chunk(data: Buffer): boolean {
    this.parts.push(data);
    return !this.full;
  }

  end(): void {
    this.#over({ failure: this.#failure, body: Buffer.concat(this.parts).toString() });
  }

  fail(error: OlError): void {
    this.#over({ error });
  }

  #over(outcome: Outcome): void {
    this.outcomes += 1;
    this.#settle(outcome);
  }
}

/** A call under way. */
export interface TestCall {
  readonly invocation: Invocation;
  readonly sink: RecordingSink;
  readonly outcome: Promise<Outcome>;
}

/** A manager over a fake engine, and how to call it. */
export interface Rig {
  readonly engine: FakeEngine;
  readonly pool: SandboxPool;
  readonly source: FakeSource;
  readonly manager: LambdaManager;
  /** Sandboxes made so far. */
  created(): number;
  call(name: string, body?: unknown, waitMs?: number): TestCall;
  /** The outcome's code, or the body. */
  result(name: string, body?: unknown): Promise<string>;
}

export const LIMITS: LambdaManagerOptions["limits"] = {
  memoryMb: 50,
  swappiness: 0,
  procs: 10,
  cpuPercent: 100,
  logMb: 8,
  scratchMb: 64,
  runtimeSec: 5,
  bodyMb: 6,
};

/** The error's code, the failure, or the body. */
export const resultOf = (outcome: Outcome): string =>
  "error" in outcome ? outcome.error.code : (outcome.failure ?? outcome.body);

interface RigOptions extends Partial<Omit<LambdaManagerOptions, "pool" | "source">> {
  readonly memoryMb?: number;
  readonly code?: Readonly<Record<string, FakeCode>>;
  readonly engine?: Omit<FakeEngineOptions, "code">;
}

/** Each name of `code` is a lambda too. All is closed when the test ends. */
export const makeRig = (options: RigOptions = {}): Rig => {
  const { memoryMb = 10_000, code = {}, engine: engineOptions, ...rest } = options;
  const engine = new FakeEngine({ ...engineOptions, code });
  const pool = SandboxPool.create({ engine, memoryMb });
  const source = new FakeSource();
  for (const name of Object.keys(code)) source.lambdas.set(name, { dir: name });
  const manager = new LambdaManager({
    pool,
    source,
    limits: LIMITS,
    network: "none",
    slots: 8,
    queueTimeoutMs: 2_000,
    registryCacheMs: 5_000,
    ...rest,
  });
  onTestFinished(async () => {
    await manager.close();
    await pool.close();
    await engine.close();
  });
  let calls = 0;
  const call = (name: string, body: unknown = {}, waitMs?: number): TestCall => {
    const sink = new RecordingSink();
    calls += 1;
    const request = {
      invocationId: `call-${calls}`,
      body: Buffer.from(JSON.stringify(body)),
      traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
      rawHeaders: [],
      http: { method: "POST", mount: `/run/${name}`, path: "", query: "", client: "127.0.0.1" },
      ...(waitMs === undefined ? {} : { waitMs }),
    };
    const invocation = manager.invoke(name, request, sink);
    return { invocation, sink, outcome: sink.outcome };
  };
  return {
    engine,
    pool,
    source,
    manager,
    created: () => pool.stats().created,
    call,
    result: async (name, body) => resultOf(await call(name, body).outcome),
  };
};
