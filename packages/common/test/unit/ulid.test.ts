import { describe, expect, it } from "vitest";

import { isUlid, UlidMaker } from "../../src/ulid.ts";

describe("invocation ids", () => {
  it("are ULIDs that rise, also thousands within a millisecond", () => {
    let nowMs = 1_700_000_000_000;
    const maker = new UlidMaker(() => nowMs);
    const ids = Array.from({ length: 5_000 }, () => maker.next());
    nowMs += 1;
    ids.push(maker.next());
    // A clock that goes back must not make ids that go back.
    nowMs -= 1_000;
    ids.push(maker.next());
    expect(ids.every(isUlid)).toBe(true);
    expect(ids).toEqual([...new Set(ids)].sort());
  });

  it("hold the time in their first ten digits", () => {
    expect(new UlidMaker(() => 1_469_918_176_385).next().slice(0, 10)).toBe("01ARYZ6S41");
  });

  it("of two makers differ", () => {
    expect(new UlidMaker(() => 5).next()).not.toBe(new UlidMaker(() => 5).next());
  });
});
