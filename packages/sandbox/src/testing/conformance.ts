import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";

import type { SandboxEngine } from "../engine.ts";
import { type ConnectionTimers, DEFAULT_CONNECTION_TIMERS } from "../frames/connection-options.ts";
import { SandboxPool } from "../pool.ts";
import type { Sandbox } from "../sandbox.ts";
import { CALL_CASES } from "./conformance-calls.ts";
import { allowSlowness } from "./conformance-kit.ts";
import { HTTP_CASES } from "./conformance-http.ts";
import { LIFE_CASES } from "./conformance-life.ts";
import { PAUSE_CASES } from "./conformance-pause.ts";
import { ZYGOTE_CASES } from "./conformance-zygotes.ts";

/** What of a test runner the suite needs; vitest's and jest's functions fit. */
export interface TestFunctions {
  readonly describe: (name: string, body: () => void) => void;
  readonly it: (name: string, body: () => Promise<void>, timeoutMs: number) => void;
}

/** One behaviour that every engine must show. */
export interface ConformanceCase {
  readonly title: string;
  /** Budget of the case's pool in MB; a sandbox of the suite takes 50. */
  readonly memoryMb?: number;
  readonly run: (pool: SandboxPool, engine: SandboxEngine) => Promise<void>;
}

/** Directory of the suite's lambdas, `<name>/f.py`: what the engine under test must have as its code directory. */
export const CONFORMANCE_HANDLERS_DIR: string = fileURLToPath(
  new URL("../../conformance/handlers", import.meta.url),
);

/** Directory of the suite's packages: the `packagesDir` of an engine under test that has zygotes. */
export const CONFORMANCE_PACKAGES_DIR: string = fileURLToPath(
  new URL("../../conformance/packages", import.meta.url),
);

/** All behaviours, for a runner that `describeEngineConformance` does not fit. */
export const CONFORMANCE_CASES: readonly ConformanceCase[] = [...CALL_CASES, ...LIFE_CASES, ...PAUSE_CASES];

/** What an engine with `createZygote` must show besides. */
export const CONFORMANCE_ZYGOTE_CASES: readonly ConformanceCase[] = ZYGOTE_CASES;

/** What an engine must show besides whose guests run web apps. */
export const CONFORMANCE_HTTP_CASES: readonly ConformanceCase[] = HTTP_CASES;

const CASE_TIMEOUT_MS = 60_000;
/** For the engine to make a sandbox, and for a paused one to get its memory back. */
const MAKE_MS = 10_000;

/** How the suite is run. */
export interface ConformanceOptions {
  /** Those behaviours too that an engine with `createZygote` must show; default false. */
  readonly zygotes?: boolean;
  /** Those too that an engine must show whose guests run web apps; default false. */
  readonly http?: boolean;
  /** How many times longer everything may take than on a machine of our days; default 1. An emulated one needs it. At the limit: the test fails. */
  readonly slowness?: number;
}

/** Registers a test for each behaviour; each gets an engine of its own from `makeEngine`. */
export const describeEngineConformance = (
  name: string,
  makeEngine: () => SandboxEngine | Promise<SandboxEngine>,
  { describe, it }: TestFunctions,
  { zygotes = false, http = false, slowness = 1 }: ConformanceOptions = {},
): void => {
  describe(`the ${name} engine`, () => {
    const cases = [
      ...CONFORMANCE_CASES,
      ...(zygotes ? CONFORMANCE_ZYGOTE_CASES : []),
      ...(http ? CONFORMANCE_HTTP_CASES : []),
    ];
    for (const each of cases)
      it(each.title, () => runConformanceCase(each, makeEngine, slowness), CASE_TIMEOUT_MS * slowness);
  });
};

const slowerTimers = (slowness: number): ConnectionTimers => ({
  helloMs: DEFAULT_CONNECTION_TIMERS.helloMs * slowness,
  partialFrameMs: DEFAULT_CONNECTION_TIMERS.partialFrameMs * slowness,
  writeStallMs: DEFAULT_CONNECTION_TIMERS.writeStallMs * slowness,
  resetMs: DEFAULT_CONNECTION_TIMERS.resetMs * slowness,
  graceMs: DEFAULT_CONNECTION_TIMERS.graceMs * slowness,
});

/** Runs one case, and checks besides that its sandboxes' events are in order and nothing of them is left. */
export const runConformanceCase = async (
  each: ConformanceCase,
  makeEngine: () => SandboxEngine | Promise<SandboxEngine>,
  slowness = 1,
): Promise<void> => {
  allowSlowness(slowness);
  await using engine = await makeEngine();
  await using pool = SandboxPool.create({
    engine,
    memoryMb: each.memoryMb ?? 1_000,
    timers: slowerTimers(slowness),
    createMs: MAKE_MS * slowness,
    resumeMs: MAKE_MS * slowness,
  });
  const events = recordEvents(pool);
  await each.run(pool, engine);
  await pool.close();
  for (const [id, names] of events) {
    assert.equal(names[0], "create", `first event of ${id}`);
    assert.equal(names.at(-1), "destroy", `last event of ${id}`);
    assert.equal(new Set(names).size, names.length, `events of ${id}: ${names.join(" ")}`);
  }
  const { sandboxes, promisedMb, created, destroyed } = pool.stats();
  assert.deepEqual({ sandboxes, promisedMb }, { sandboxes: 0, promisedMb: 0 });
  assert.equal(created, destroyed);
  assert.equal(engine.stats().sandboxes, 0);
};

const recordEvents = (pool: SandboxPool): Map<string, string[]> => {
  const events = new Map<string, string[]>();
  for (const name of ["create", "ready", "destroying", "destroy"] as const)
    pool.on(name, ({ id }: Sandbox) => void events.set(id, [...(events.get(id) ?? []), name]));
  return events;
};
