import { describe, expect, it } from "vitest";

import { Turns } from "../../src/packages/turns.ts";

const never = new AbortController().signal;

describe("turns", () => {
  it("are given to so many at once, and then in the order in which they were asked for", async () => {
    const turns = new Turns(2);
    const order: string[] = [];
    const first = await turns.take(never);
    const second = await turns.take(never);
    const waiting = ["third", "fourth"].map(async (name) => {
      const turn = await turns.take(never);
      order.push(name);
      return turn;
    });
    await Promise.resolve();
    expect(order).toEqual([]);
    first.end();
    // Ended twice it makes room once.
    first.end();
    const third = await waiting[0];
    expect(order).toEqual(["third"]);
    second.end();
    await waiting[1];
    third?.end();
    expect(order).toEqual(["third", "fourth"]);
  });

  it("that are not waited for any more are given to the next", async () => {
    const turns = new Turns(1);
    const first = await turns.take(never);
    const stop = new AbortController();
    const given = turns.take(stop.signal);
    const next = turns.take(never);
    stop.abort(new Error("enough"));
    await expect(given).rejects.toThrow("enough");
    first.end();
    await expect(next).resolves.toBeDefined();
  });
});
