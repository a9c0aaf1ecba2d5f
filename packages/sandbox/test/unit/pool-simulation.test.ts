import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { EVICTION_POLICIES, type Sandbox, SandboxPool, type SandboxSpec } from "../../src/index.ts";
import { MOST_OVERTAKEN } from "../../src/memory-line.ts";
import { callOf, specOf } from "../../src/testing/conformance-kit.ts";
import { FakeEngine } from "../../src/testing/index.ts";
import { Random } from "../support/random.ts";
import { scaled } from "../support/scale.ts";

const TOTAL_MB = 400;
const CLIENTS = 16;
const ROUNDS = scaled(6, 60);
const STEPS_PER_CLIENT = 40;
/** Longest that a sandbox is held, a call runs, or the engine needs for anything. */
const HOLD_MS = 400;
const ENGINE_MS = 30;
const MIB = 1_048_576;
const PAUSED_MB = 5;

const sized = (memoryMb: number): SandboxSpec => ({
  ...specOf("echo"),
  limits: { ...specOf("echo").limits, memoryMb },
});

/** Time is virtual: a wait is over as soon as nothing else is to be done. */
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** What one simulated world did, and what was wrong with it. */
interface World {
  readonly faults: string[];
  readonly tally: Record<string, number>;
}

class Simulation {
  readonly world: World = { faults: [], tally: {} };
  over = false;
  readonly #random: Random;
  readonly #engine: FakeEngine;
  readonly #pool: SandboxPool;
  /** Sandboxes that nobody uses at the moment. */
  readonly #free: Sandbox[] = [];
  /** What is really held, counted from outside: limits of what runs, measured memory of what is paused. */
  readonly #heldMb = new Map<string, number>();

  constructor(random: Random) {
    this.#random = random;
    const pause = (): Promise<void> => sleep(random.between(0, ENGINE_MS));
    this.#engine = new FakeEngine({
      beforeCreate: async () => {
        await pause();
        if (random.next() < 0.05) throw new Error("as the simulation wants it");
      },
      beforeGone: pause,
      beforePause: pause,
      beforeResume: pause,
      memoryBytes: () => PAUSED_MB * MIB,
    });
    const evictor = random.pick(Object.values(EVICTION_POLICIES))();
    this.#pool = SandboxPool.create({ engine: this.#engine, memoryMb: TOTAL_MB, evictor });
    this.#pool.on("create", ({ id, meta }) => this.#hold(id, meta.limits.memoryMb));
    this.#pool.on("paused", ({ id, meta }) => this.#hold(id, Math.min(PAUSED_MB, meta.limits.memoryMb)));
    this.#pool.on("resumed", ({ id, meta }) => this.#hold(id, meta.limits.memoryMb));
    this.#pool.on("destroy", ({ id }) => this.#heldMb.delete(id));
  }

  async run(): Promise<World> {
    await Promise.all(Array.from({ length: CLIENTS }, () => this.#client()));
    await Promise.all(this.#pool.sandboxes().map((sandbox) => sandbox.destroy()));
    // Who gives up does not wait for what the engine has begun: that is made, and destroyed, without him.
    await sleep(10 * ENGINE_MS);
    const { promisedMb, sandboxes, creating, waiting } = this.#pool.stats();
    const left = { promisedMb, sandboxes, creating, waiting, held: this.#heldMb.size };
    if (Object.values(left).some((count) => count !== 0)) this.#fault(`left over: ${JSON.stringify(left)}`);
    await this.#pool.close();
    await this.#engine.close();
    this.over = true;
    return this.world;
  }

  async #client(): Promise<void> {
    for (let step = 0; step < STEPS_PER_CLIENT; step += 1) {
      this.#check();
      const sandbox = this.#random.next() < 0.4 ? this.#reuse() : await this.#acquire();
      if (sandbox !== undefined) await this.#use(sandbox);
    }
  }

  #reuse(): Sandbox | undefined {
    const [sandbox] = this.#free.splice(Math.floor(this.#random.between(0, this.#free.length)), 1);
    return sandbox;
  }

  async #acquire(): Promise<Sandbox | undefined> {
    const memoryMb = this.#random.next() < 0.1 ? TOTAL_MB - 10 : Math.ceil(this.#random.between(0, 120));
    const deadlineMs = this.#random.next() < 0.2 ? this.#random.between(1, 100) : 600_000;
    const stop = new AbortController();
    const timer =
      this.#random.next() < 0.1 ? setTimeout(() => stop.abort(), this.#random.between(0, 50)) : undefined;
    const askedMs = performance.now();
    try {
      const made = await this.#pool.acquire(sized(memoryMb), { deadlineMs, signal: stop.signal });
      this.#count("acquired");
      return made;
    } catch (error) {
      this.#count((error as { code: string }).code);
      return undefined;
    } finally {
      clearTimeout(timer);
      this.#checkWait(performance.now() - askedMs);
    }
  }

  async #use(sandbox: Sandbox): Promise<void> {
    const chance = this.#random.next();
    try {
      await sandbox.call(callOf(1));
      await sleep(this.#random.between(0, HOLD_MS));
      this.#count("called");
    } catch (error) {
      this.#count(`call ${(error as { code: string }).code}`);
      return;
    }
    if (chance < 0.15) await sandbox.destroy();
    else if (chance < 0.25) this.#engine.end(sandbox.id, { reason: "signal", signal: "SIGKILL" });
    else if (chance < 0.6) await sandbox.pause().catch(() => false);
    else sandbox.markIdle();
    if (sandbox.ended === undefined) this.#free.push(sandbox);
  }

  #hold(id: string, memoryMb: number): void {
    this.#heldMb.set(id, memoryMb);
    this.#check();
  }

  #check(): void {
    const { promisedMb } = this.#pool.stats();
    const heldMb = [...this.#heldMb.values()].reduce((sum, mb) => sum + mb, 0);
    if (promisedMb > TOTAL_MB || heldMb > promisedMb) this.#fault(`${heldMb} held, ${promisedMb} promised`);
  }

  /**
   * Nobody waits longer than it takes those before it, at most all other clients and those that may pass each of
   * them, to be made, used and destroyed one after the other.
   */
  #checkWait(waitedMs: number): void {
    const mostMs = CLIENTS * (MOST_OVERTAKEN + 1) * (HOLD_MS + 4 * ENGINE_MS);
    if (waitedMs > mostMs) this.#fault(`somebody waited for ${waitedMs} ms, ${mostMs} is the most`);
  }

  #fault(what: string): void {
    this.world.faults.push(what);
  }

  #count(what: string): void {
    this.world.tally[what] = (this.world.tally[what] ?? 0) + 1;
  }
}

describe("a pool under random acquires, cancels, calls, pauses, kills and evictions", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it("never promises more than there is, forgets and starves nobody, and has everything back at the end", async () => {
    const random = Random.fromEnvironment();
    const tally: Record<string, number> = {};
    for (let round = 0; round < ROUNDS; round += 1) {
      const simulation = new Simulation(random);
      const running = simulation.run();
      // An hour is longer than all deadlines together: who has not ended then was forgotten.
      for (let step = 0; step < 3_600 && !simulation.over; step += 1)
        await vi.advanceTimersByTimeAsync(1_000);
      expect(simulation.over, `seed ${random.seed}, round ${round}: nobody was forgotten`).toBe(true);
      const { faults, tally: counts } = await running;
      expect(faults, `seed ${random.seed}, round ${round}`).toEqual([]);
      for (const [what, count] of Object.entries(counts)) tally[what] = (tally[what] ?? 0) + count;
    }
    console.info(`seed ${random.seed}: ${JSON.stringify(tally)}`);
    for (const what of [
      "acquired",
      "called",
      "OL_SANDBOX_NO_MEMORY",
      "OL_SANDBOX_CANCELLED",
      "OL_SANDBOX_CREATE_FAILED",
    ])
      expect(tally[what], `how often: ${what}`).toBeGreaterThan(0);
  });
});
