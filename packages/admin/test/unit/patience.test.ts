import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { Patience } from "../../src/base/patience.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe("patience", () => {
  test("lasts as long as something is heard now and then", () => {
    using patience = new Patience(60_000);
    for (let minute = 0; minute < 100; minute += 1) {
      vi.advanceTimersByTime(59_999);
      patience.heard();
    }
    expect(patience.signal.aborted).toBe(false);
  });

  test("ends when nothing was heard for so long, and says so", () => {
    using patience = new Patience(60_000);
    vi.advanceTimersByTime(30_000);
    patience.heard();
    vi.advanceTimersByTime(59_999);
    expect(patience.signal.aborted).toBe(false);
    vi.advanceTimersByTime(1);
    expect(patience.signal.reason).toMatchObject({ message: "nothing came for 60 s" });
  });

  test("leaves no timer behind", () => {
    new Patience(60_000)[Symbol.dispose]();
    expect(vi.getTimerCount()).toBe(0);
  });
});
