import assert from "node:assert/strict";

import { OlError } from "@ol/common";
import * as fc from "fast-check";

import type { CallRequest, Lease } from "../../src/lease.ts";
import type { DispatcherSnapshot, WorkerSnapshot } from "../../src/snapshot.ts";
import { settled, TestBalancer } from "./balancer.ts";
import { loadText } from "./workers.ts";

const FUNCTIONS = ["a", "b", "c", "d"];
const WORKERS = 4;
const HIGH = 4;

/** One call as the test follows it. */
interface Followed {
  readonly name: string;
  readonly sinceMs: number;
  readonly deadlineMs: number;
  readonly tried: string[];
  lease: Lease | undefined;
  state: "waiting" | "held" | "retrying" | "over";
}

/** How a call that has a worker ends there. */
type End = "answer" | "reset" | "late" | "unreachable" | "sent back" | "leave";

export type Step =
  | {
      readonly do: "send";
      readonly fn: number;
      readonly count: number;
      readonly deadlineMs: number | undefined;
    }
  | { readonly do: End; readonly at: number }
  | { readonly do: "pass"; readonly ms: number }
  | { readonly do: "dead" | "alive" | "drain" | "stay" | "cut off" | "all back"; readonly worker: number };

const at = fc.nat(200);
const worker = fc.nat(WORKERS - 1);
/** Anything that can happen. */
export const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant("send" as const),
      fn: fc.nat(FUNCTIONS.length - 1),
      count: fc.integer({ min: 1, max: 40 }),
      deadlineMs: fc.option(fc.integer({ min: 1, max: 20_000 }), { nil: undefined }),
    }),
  },
  {
    weight: 14,
    arbitrary: fc.record({
      do: fc.constantFrom(
        ...(["answer", "answer", "reset", "late", "unreachable", "sent back", "leave"] as const),
      ),
      at,
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant("pass" as const), ms: fc.constantFrom(1, 100, 900, 3_000) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constantFrom(...(["dead", "alive", "drain", "stay", "cut off", "all back"] as const)),
      worker,
    }),
  },
);

/** A dispatcher, and everything that is known of its calls from outside. */
export class Model {
  readonly balancer: TestBalancer;
  readonly calls: Followed[] = [];
  readonly dead = new Set<number>();
  readonly draining = new Set<number>();

  constructor(policy: string) {
    this.balancer = new TestBalancer(WORKERS, { policy, watch: true });
    for (let number = 0; number < WORKERS; number += 1) {
      const probed = this.balancer.probe.of(`http://w${number}:80`);
      probed.status = () => {
        if (this.dead.has(number)) throw new Error("dead");
        return this.draining.has(number) ? 503 : 200;
      };
    }
  }

  async act(step: Step): Promise<void> {
    if (step.do === "send") for (let count = 0; count < step.count; count += 1) this.#send(step);
    else if (step.do === "pass") await this.balancer.pass(step.ms);
    else if (step.do === "cut off" || step.do === "all back") await this.#endAll(step.do, step.worker);
    else if ("worker" in step) await this.#change(step.do, step.worker);
    else await this.#end(step.do, step.at);
    await settled();
    this.check();
  }

  check(): void {
    const snapshot = this.balancer.dispatcher.snapshot();
    const held = this.calls.filter(({ state }) => state === "held");
    const waiting = this.calls.filter(({ state }) => state === "waiting" || state === "retrying");
    for (const { id, inFlight } of snapshot.workers)
      assert.equal(inFlight, held.filter(({ lease }) => lease?.worker.id === id).length);
    assert.equal(snapshot.waiting, waiting.length);
    assert.equal(snapshot.live, held.length + waiting.length);
    const nowMs = this.balancer.clock.nowMs();
    for (const { deadlineMs } of waiting) assert.ok(deadlineMs >= nowMs);
    // A ramp's next step is looked for each 250 ms, and some of them pass within one step of the test.
    const ramping = snapshot.workers.some(({ slots, slotsGiven }) => slotsGiven < slots);
    const load = eligible(snapshot).reduce((sum, one) => sum + one.load, 0);
    if (waiting.length > 0 && snapshot.eligible > 0 && !ramping) assert.ok(load >= snapshot.limit);
  }

  async finish(): Promise<void> {
    this.dead.clear();
    this.draining.clear();
    for (const call of this.calls)
      if (call.state === "held") {
        call.state = "over";
        call.lease?.release();
      }
    await this.balancer.pass(11_000);
    for (const call of this.calls) {
      if (call.state === "held") call.state = "over";
      call.lease?.release();
    }
    this.check();
    const { live, waiting, retrying, calls, workers } = this.balancer.dispatcher.snapshot();
    assert.deepEqual({ live, waiting, retrying }, { live: 0, waiting: 0, retrying: 0 });
    const refused = Object.values(calls.refused).reduce((sum, count) => sum + count, 0);
    // Every call that came was placed, refused, or left; every retry was one or the other as well.
    assert.equal(calls.accepted + calls.retried, calls.placed + refused + calls.left);
    assert.equal(
      calls.placed,
      workers.reduce((sum, { counts }) => sum + counts.sent, 0),
    );
    await this.balancer.dispatcher.close();
  }

  #send({ fn, deadlineMs }: Extract<Step, { do: "send" }>): void {
    const nowMs = this.balancer.clock.nowMs();
    const call: Followed = {
      name: FUNCTIONS[fn] as string,
      sinceMs: nowMs,
      deadlineMs: nowMs + Math.min(deadlineMs ?? 10_000, 10_000),
      tried: [],
      lease: undefined,
      state: "waiting",
    };
    this.calls.push(call);
    const request: CallRequest = {
      name: call.name,
      idempotent: false,
      client: "",
      ...(deadlineMs !== undefined && { deadlineMs }),
    };
    let entering = true;
    this.balancer.dispatcher.enter(request, {
      placed: (lease) => this.#placed(call, lease, !entering),
      refused: () => {
        assert.ok(["waiting", "retrying"].includes(call.state));
        call.state = "over";
      },
    });
    entering = false;
    const { waiting, mostWaiting } = this.balancer.dispatcher.snapshot();
    if (call.state === "waiting") assert.ok(waiting <= mostWaiting);
  }

  #placed(call: Followed, lease: Lease, fromQueue: boolean): void {
    // Never two at once, never after it was refused.
    assert.ok(["waiting", "retrying"].includes(call.state));
    const snapshot = this.balancer.dispatcher.snapshot();
    const { id } = lease.worker;
    const chosen = snapshot.workers.find((one) => one.id === id) as WorkerSnapshot;
    // One that drains is better than none.
    const alone = snapshot.workers.every(({ health }) => health !== "up");
    if (alone) assert.equal(chosen.health, "draining");
    else if (!snapshot.panic) assert.equal(chosen.health, "up");
    if (!alone) assert.notEqual(chosen.health, "draining");
    assert.ok(chosen.inFlight <= Math.ceil(2 * HIGH * chosen.slotsGiven));
    const sent = eligible(snapshot).reduce((sum, one) => sum + one.inFlight, 0);
    assert.ok(sent <= snapshot.limit);
    assert.ok(!call.tried.includes(id));
    if (fromQueue && call.state === "waiting") {
      assert.ok(call.deadlineMs >= this.balancer.clock.nowMs());
      const running = (name: string): number =>
        this.calls.filter((one) => one.state === "held" && one.name === name).length;
      for (const other of this.calls)
        if (other.state === "waiting") assert.ok(running(call.name) <= running(other.name));
    }
    call.tried.push(id);
    call.lease = lease;
    call.state = "held";
  }

  async #end(how: End, number: number): Promise<void> {
    const held = this.calls.filter(({ state }) => state === "held");
    const call = held[number % Math.max(held.length, 1)];
    if (call !== undefined) await this.#endOne(how, call);
  }

  /** Nothing gets to a worker any more, or it sends everything back. */
  async #endAll(how: "cut off" | "all back", number: number): Promise<void> {
    for (const call of this.calls)
      if (call.state === "held" && call.lease?.worker.id === `w${number}`)
        await this.#endOne(how === "cut off" ? "unreachable" : "sent back", call);
  }

  async #endOne(how: End, call: Followed): Promise<void> {
    if (call.lease === undefined) return;
    const { lease } = call;
    const draining = this.draining.has(Number(lease.worker.id.slice(1)));
    if (how === "answer" || how === "sent back") lease.answered({ load: loadText({ draining }) });
    if (how === "reset" || how === "late") lease.failed(how === "late" ? "timeout" : "reset", false);
    if (how !== "unreachable" && how !== "sent back") {
      call.state = "over";
      lease.release();
      lease.release();
      return;
    }
    lease.failed(how === "unreachable" ? "connect" : "protocol", true);
    const before = this.balancer.dispatcher.snapshot();
    call.state = "retrying";
    void this.#followRetry(call, lease);
    await settled();
    const after = this.balancer.dispatcher.snapshot();
    if (after.retrying > before.retrying)
      assert.ok(after.retrying <= Math.max(3, Math.floor(0.2 * before.live)));
    assert.ok(call.tried.length <= 3);
  }

  /** A retry may have to wait; a failure of the test's own checks in here is an unhandled rejection, which fails the run. */
  async #followRetry(call: Followed, lease: Lease): Promise<void> {
    const again = await lease.again(new AbortController().signal).catch((error: unknown) => {
      assert.ok(error instanceof OlError);
      return undefined;
    });
    if (again === undefined) call.state = "over";
    else this.#placed(call, again, false);
  }

  async #change(what: "dead" | "alive" | "drain" | "stay", number: number): Promise<void> {
    if (what === "dead") this.dead.add(number);
    else if (what === "alive") this.dead.delete(number);
    else if (what === "drain") this.draining.add(number);
    else this.draining.delete(number);
    this.balancer.probe.of(`http://w${number}:80`).load = { draining: this.draining.has(number) };
    await this.balancer.pass(50);
  }
}

const eligible = ({ workers }: DispatcherSnapshot): readonly WorkerSnapshot[] =>
  workers.filter((worker) => worker.eligible);
