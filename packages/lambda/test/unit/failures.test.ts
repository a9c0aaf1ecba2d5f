import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { lambdaError } from "../../src/errors.ts";
import { Failures } from "../../src/packages/failures.ts";

const MISTAKE = lambdaError("OL_LAMBDA_BAD_PACKAGES", "no such package");
const PASSING = lambdaError("OL_LAMBDA_PACKAGES_UNAVAILABLE", "no index");

describe("what failed a short time ago", () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ["performance"] }));
  afterEach(() => void vi.useRealTimers());

  it("is not tried again for a minute if it is a mistake", () => {
    const failures = new Failures();
    expect(failures.of("a")).toBeUndefined();
    failures.note("a", MISTAKE);
    vi.advanceTimersByTime(59_000);
    expect(failures.of("a")?.error).toBe(MISTAKE);
    expect(failures.of("b")).toBeUndefined();
    vi.advanceTimersByTime(2_000);
    expect(failures.of("a")).toBeUndefined();
  });

  it("is tried again after a second, then after longer, at most a minute, and soon again once it succeeded", () => {
    const failures = new Failures();
    const pauses: number[] = [];
    for (let time = 0; time < 8; time += 1) {
      failures.note("a", PASSING);
      let seconds = 0;
      for (; failures.of("a") !== undefined; seconds += 1) vi.advanceTimersByTime(1_000);
      pauses.push(seconds);
    }
    expect(pauses).toEqual([1, 2, 4, 8, 16, 32, 60, 60]);
    failures.forget("a");
    failures.note("a", PASSING);
    vi.advanceTimersByTime(1_000);
    expect(failures.of("a")).toBeUndefined();
  });
});
