import { EventEmitter } from "node:events";
import type { Socket } from "node:net";

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { Audience } from "../../src/audience.ts";

beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] }));
afterEach(() => void vi.useRealTimers());

const socket = (): Socket => new EventEmitter() as Socket;

/** When everybody has heard, in ms from now on. */
const heardAfter = (audience: Audience): { ms: number | undefined } => {
  const heard: { ms: number | undefined } = { ms: undefined };
  const beganMs = performance.now();
  void audience.hasHeard().then(() => (heard.ms = performance.now() - beganMs));
  return heard;
};

const pass = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);

describe("those who have to hear that a worker leaves", () => {
  it("are nobody if there are none: it need not wait", async () => {
    const heard = heardAfter(new Audience());
    await pass(0);
    expect(heard.ms).toBe(0);
  });

  it("are load balancers, until each has been told, and a moment for what they had sent", async () => {
    const audience = new Audience();
    const [one, other] = [socket(), socket()];
    audience.balancer("a", one, true);
    audience.balancer("b", other, true);
    const heard = heardAfter(audience);
    await pass(100);
    audience.balancer("a", one, true);
    await pass(300);
    // A call's reply may take its time.
    audience.balancer("b", other, false);
    await pass(400);
    expect(heard.ms).toBeUndefined();
    audience.balancer("b", other, true);
    await pass(249);
    expect(heard.ms).toBeUndefined();
    await pass(1);
    expect(heard.ms).toBe(1_050);
  });

  it("are none whose last connection has ended", async () => {
    const audience = new Audience();
    const [gone, first, second] = [socket(), socket(), socket()];
    audience.balancer("a", gone, true);
    gone.emit("close");
    audience.balancer("b", first, true);
    audience.balancer("b", second, false);
    first.emit("close");
    const heard = heardAfter(audience);
    await pass(500);
    expect(heard.ms).toBeUndefined();
    second.emit("close");
    await pass(0);
    expect(heard.ms).toBe(500);
  });

  it("are not waited for longer than a balancer takes that still asks", async () => {
    const audience = new Audience();
    audience.balancer("a", socket(), true);
    const heard = heardAfter(audience);
    await pass(10_000);
    expect(heard.ms).toBe(2_250);
  });

  it("are other proxies for 7 s, unless they have asked nothing for 5 s", async () => {
    const audience = new Audience();
    audience.other();
    await pass(5_000);
    const heard = heardAfter(audience);
    await pass(20_000);
    expect(heard.ms).toBe(7_000);
    const quiet = new Audience();
    quiet.other();
    await pass(5_001);
    const heardAtOnce = heardAfter(quiet);
    await pass(0);
    expect(heardAtOnce.ms).toBe(0);
  });
});
