import { describe, expect, it } from "vitest";

import { hash32, rendezvousOrder, RendezvousOrders } from "../../src/rendezvous.ts";

const worker = (id: string, weight = 1) => ({ id, seed: hash32(id), weight });
const keys = Array.from({ length: 4_000 }, (_, at) => `k${at}`);
const workers = Array.from({ length: 10 }, (_, at) => worker(`10.0.0.${at}:8080`));

describe("the rendezvous order", () => {
  it("moves only the keys of a worker that leaves", () => {
    const left = workers.slice(1);
    for (const key of keys.slice(0, 200))
      expect(rendezvousOrder(key, left)).toEqual(
        rendezvousOrder(key, workers).filter((one) => one !== workers[0]),
      );
  });

  it("does not depend on the order in which the workers are known", () => {
    for (const key of keys.slice(0, 200))
      expect(rendezvousOrder(key, workers.toReversed())).toEqual(rendezvousOrder(key, workers));
  });

  it("gives each worker keys by its weight", () => {
    const uneven = [worker("a", 2), worker("b", 4), worker("c", 2)];
    const first = keys.map((key) => rendezvousOrder(key, uneven)[0]?.id);
    const share = first.filter((id) => id === "b").length / keys.length;
    // 4,000 draws of one half: three standard deviations are 0.024.
    expect(share).toBeGreaterThan(0.47);
    expect(share).toBeLessThan(0.53);
  });

  it("spreads the keys of equal workers evenly", () => {
    const counts = new Map<string, number>();
    for (const key of keys) {
      const id = rendezvousOrder(key, workers)[0]?.id ?? "";
      counts.set(id, (counts.get(id) ?? 0) + 1);
    }
    expect(Math.min(...counts.values())).toBeGreaterThan(330);
    expect(Math.max(...counts.values())).toBeLessThan(470);
  });

  it("is kept for as long as the workers are the same, and for a bounded number of keys", () => {
    const orders = new RendezvousOrders<ReturnType<typeof worker>>(100);
    const first = orders.of("k0", workers);
    expect(orders.of("k0", workers)).toBe(first);
    for (let at = 1; at <= 64; at += 1) orders.of(`k${at}`, workers);
    expect(orders.of("k0", workers)).not.toBe(first);
    expect(orders.of("k0", workers)).toEqual(first);
    expect(orders.of("k0", workers.slice(1))).toHaveLength(9);
  });
});
