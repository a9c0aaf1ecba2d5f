import { describe, expect, it } from "vitest";

import { VirtualTime } from "../../src/index.ts";

describe("virtual time", () => {
  it("stands in for timers, immediates and clocks, and puts them back", async () => {
    const before = [
      setTimeout,
      clearTimeout,
      setInterval,
      setImmediate,
      Date.now,
      Reflect.get(AbortSignal, "timeout"),
    ];
    const realMs = performance.now();
    const seen: string[] = [];
    {
      using time = new VirtualTime();
      const note = (what: string): void => void seen.push(`${what} ${performance.now()}`);
      const startMs = Date.now();
      setTimeout(note, 20, "second");
      setTimeout(note, 10, "first");
      clearTimeout(setTimeout(note, 15, "never"));
      setImmediate(note, "at once");
      clearImmediate(setImmediate(note, "never"));
      const interval = setInterval(() => {
        note("again");
        if (performance.now() > 20) clearInterval(interval);
      }, 8.9).unref();
      AbortSignal.timeout(30).addEventListener("abort", () => note("aborted"));
      expect(await time.run(time.sleep(1_000_000.5), 2_000_000)).toBe(true);
      expect(performance.now()).toBe(1_000_000.5);
      expect(Date.now() - startMs).toBe(1_000_000);
    }
    expect(seen).toEqual([
      "at once 0",
      "again 8",
      "first 10",
      "again 16",
      "second 20",
      "again 24",
      "aborted 30",
    ]);
    expect([
      setTimeout,
      clearTimeout,
      setInterval,
      setImmediate,
      Date.now,
      Reflect.get(AbortSignal, "timeout"),
    ]).toEqual(before);
    expect(performance.now() - realMs).toBeLessThan(1_000_000);
  });

  it("lets promises settle before the next thing happens, and timers of one moment run in the order in which they were set", async () => {
    using time = new VirtualTime();
    const seen: string[] = [];
    const later = async (name: string): Promise<void> => {
      await time.sleep(5);
      seen.push(`${name} woke`);
      await Promise.resolve();
      seen.push(`${name} is over`);
    };
    await time.run(Promise.all([later("one"), later("two")]), 10);
    expect(seen).toEqual(["one woke", "one is over", "two woke", "two is over"]);
  });

  it("is for one at a time in a thread", () => {
    const before = setTimeout;
    {
      using _time = new VirtualTime();
      const held = setTimeout;
      expect(() => new VirtualTime()).toThrow("virtual already");
      expect(setTimeout).toBe(held);
    }
    expect(setTimeout).toBe(before);
  });

  it("says whether it came to the end, and throws what was thrown", async () => {
    using time = new VirtualTime();
    expect(await time.run(time.sleep(100), 50)).toBe(false);
    const failing = time.sleep(10).then(() => {
      throw new Error("as it should");
    });
    await expect(time.run(failing, 1_000)).rejects.toThrow("as it should");
  });
});
