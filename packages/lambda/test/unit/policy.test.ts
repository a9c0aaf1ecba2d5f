import { describe, expect, it } from "vitest";

import {
  desiredInstances,
  isPaidOff,
  type KeepSnapshot,
  mayPipeline,
  nextMean,
  nextTail,
  type PipelineSnapshot,
  queueLimit,
  type ScaleSnapshot,
  stuckAfterMs,
  surplusInstances,
} from "../../src/index.ts";

const scale = (changes: Partial<ScaleSnapshot>): number =>
  desiredInstances({
    queued: 1,
    live: 1,
    starting: 0,
    stuck: 0,
    max: 8,
    concurrency: 1,
    oneShot: false,
    cpus: 2,
    freeSlots: 8,
    meanRunMs: undefined,
    runs: changes.meanRunMs === undefined ? 0 : 100,
    oldestRunMs: 0,
    meanStartMs: 10,
    nowMs: 0,
    ...changes,
  });

describe("how many instances a function should have", () => {
  it("stays as it is while nothing waits", () => {
    expect(scale({ queued: 0, live: 3 })).toBe(3);
    expect(scale({ queued: 0, live: 0 })).toBe(0);
  });

  it("is one for the first calls, however many come at once", () => {
    expect(scale({ queued: 16, live: 0 })).toBe(1);
    expect(scale({ queued: 16, live: 1, starting: 1 })).toBe(1);
  });

  it("does not grow for calls that are quicker than a start", () => {
    expect(scale({ queued: 16, meanRunMs: 0.2 })).toBe(1);
  });

  it("grows once a running call shows that the others would wait", () => {
    expect(scale({ queued: 15, oldestRunMs: 1 })).toBe(2);
    // Doubled each time: it may be the machine that is slow.
    expect(scale({ queued: 15, oldestRunMs: 100, freeSlots: 7 })).toBe(2);
    expect(scale({ queued: 15, live: 4, oldestRunMs: 100, freeSlots: 7 })).toBe(8);
  });

  it("does not take the first calls' word for how long they all take", () => {
    expect(scale({ queued: 60, max: 64, freeSlots: 63, meanRunMs: 5, runs: 1 })).toBe(2);
    expect(scale({ queued: 60, max: 64, freeSlots: 63, meanRunMs: 5, runs: 8 })).toBe(30);
    expect(scale({ queued: 60, max: 64, live: 0, freeSlots: 64, meanRunMs: 5, runs: 1 })).toBe(2);
  });

  it("of a quick function never exceeds the CPUs: more would only take turns", () => {
    expect(scale({ queued: 1_000, meanRunMs: 0.6 })).toBe(2);
    expect(scale({ queued: 1_000, live: 2, meanRunMs: 0.6, oldestRunMs: 8 })).toBe(2);
  });

  it("makes up for sandboxes that are stuck in a call far longer than usual", () => {
    expect(scale({ queued: 3, live: 2, stuck: 1, meanRunMs: 0.1, oldestRunMs: 500 })).toBe(2);
    expect(scale({ queued: 3, live: 2, stuck: 2, meanRunMs: 0.1, oldestRunMs: 500 })).toBe(4);
  });

  it("is several at once for a function known to be slow", () => {
    expect(scale({ queued: 5, live: 0, meanRunMs: 1_000 })).toBe(5);
  });

  it("counts sandboxes on their way as taking a waiting call each", () => {
    expect(scale({ queued: 3, live: 4, starting: 3, meanRunMs: 1_000 })).toBe(4);
  });

  it("never exceeds the maximum, nor the slots that are free", () => {
    expect(scale({ queued: 100, max: 4, meanRunMs: 1_000 })).toBe(4);
    expect(scale({ queued: 100, freeSlots: 2, meanRunMs: 1_000 })).toBe(3);
  });

  it("never shrinks, and is at least one while something waits", () => {
    expect(scale({ queued: 1, live: 9, max: 4, meanRunMs: 1_000 })).toBe(9);
    expect(scale({ queued: 1, live: 0, freeSlots: 0, meanRunMs: 1_000 })).toBe(1);
  });
});

const may = (changes: Partial<PipelineSnapshot>): boolean =>
  mayPipeline({
    inFlight: 1,
    streams: 16,
    runningMs: 0,
    proven: true,
    meanRunMs: 0.3,
    sinceCrashMs: Number.POSITIVE_INFINITY,
    ...changes,
  });

describe("whether one more call may wait in a busy sandbox", () => {
  it("is so for quick calls of a sandbox that has answered before", () => expect(may({})).toBe(true));
  it("is so as long as it waits for a millisecond at most", () => {
    expect(may({ inFlight: 3 })).toBe(true);
    expect(may({ inFlight: 4 })).toBe(false);
    expect(may({ inFlight: 10, meanRunMs: 0.1 })).toBe(true);
    expect(may({ inFlight: 11, meanRunMs: 0.1 })).toBe(false);
    expect(may({ inFlight: 1, meanRunMs: 0.99 })).toBe(true);
    expect(may({ inFlight: 2, meanRunMs: 0.99 })).toBe(false);
  });
  it("is not so beyond what the sandbox takes at once", () => {
    expect(may({ inFlight: 15, meanRunMs: 0.01 })).toBe(true);
    expect(may({ inFlight: 16, meanRunMs: 0.01 })).toBe(false);
    expect(may({ streams: 1 })).toBe(false);
  });
  it("is not so behind a call that takes longer than usual", () => expect(may({ runningMs: 1 })).toBe(false));
  it("is not so from 1 ms of mean run time on", () => expect(may({ meanRunMs: 1 })).toBe(false));
  it("is not so while the run time is unknown", () => expect(may({ meanRunMs: undefined })).toBe(false));
  it("is not so in a new sandbox", () => expect(may({ proven: false })).toBe(false));
  it("is not so for ten seconds after a crash", () => {
    expect(may({ sinceCrashMs: 9_999 })).toBe(false);
    expect(may({ sinceCrashMs: 10_000 })).toBe(true);
  });
});

describe("the running mean", () => {
  it("begins with the first value and follows a change within some hundred", () => {
    let mean = nextMean(undefined, 100, 0);
    expect(mean).toBe(100);
    for (let count = 1; count < 32; count += 1) mean = nextMean(mean, 1, count);
    // Of 32 values one was unusual.
    expect(mean).toBeCloseTo((100 + 31) / 32, 6);
    for (let count = 32; count < 132; count += 1) mean = nextMean(mean, 1, count);
    expect(mean).toBeLessThan(1.2);
    // From then on each counts for a thirty-second.
    expect(nextMean(1, 33, 1_000)).toBe(2);
  });
});

describe("how many instances a function should have where calls do not share them one by one", () => {
  it("is one for each call that waits where none is reused, within slots and maximum", () => {
    expect(scale({ oneShot: true, queued: 5, live: 0 })).toBe(5);
    expect(scale({ oneShot: true, queued: 5, live: 3, starting: 3 })).toBe(5);
    expect(scale({ oneShot: true, queued: 5, live: 0, freeSlots: 2 })).toBe(2);
    expect(scale({ oneShot: true, queued: 50, live: 6, freeSlots: 50 })).toBe(8);
    expect(scale({ oneShot: true, queued: 1, live: 3, starting: 2 })).toBe(3);
  });

  it("counts what one instance runs at once", () => {
    expect(scale({ concurrency: 10, queued: 20, live: 0, meanRunMs: 1_000 })).toBe(2);
    expect(scale({ concurrency: 10, queued: 20, live: 2, starting: 2, meanRunMs: 1_000 })).toBe(2);
    expect(scale({ concurrency: 10, queued: 21, live: 2, starting: 2, meanRunMs: 1_000 })).toBe(3);
  });
});

const surplus = (idleMs: readonly number[], live: number = idleMs.length, min = 0): number =>
  surplusInstances({ idleMs, live, min, surplusMs: 60, lastMs: 600, nowMs: 0 });

describe("how many idle instances are too many", () => {
  it("is none that was used a while ago", () => {
    expect(surplus([59, 59, 59])).toBe(0);
  });

  it("is all that were not, but for one", () => {
    expect(surplus([100, 100, 10])).toBe(2);
    expect(surplus([100, 100, 100])).toBe(2);
    // A busy one is the one that stays.
    expect(surplus([100, 100], 3)).toBe(2);
  });

  it("is the last one too after a longer time", () => {
    expect(surplus([600])).toBe(1);
    expect(surplus([599])).toBe(0);
  });

  it("leaves those that are to be kept", () => {
    expect(surplus([700, 700, 700], 3, 2)).toBe(1);
    expect(surplus([700, 700], 2, 2)).toBe(0);
    expect(surplus([700], 1, 2)).toBe(0);
  });
});

describe("the tail of run times", () => {
  it("is above nineteen in twenty of them", () => {
    // Numbers from 0 to 1 in an order that is as good as random: the golden ratio's multiples.
    let tail: number | undefined;
    let above = 0;
    for (let at = 1; at <= 4_000; at += 1) {
      const runMs = 10 + 90 * ((at * 0.618_033_988_749_895) % 1);
      if (at > 1_000 && runMs > (tail as number)) above += 1;
      tail = nextTail(tail, runMs);
    }
    expect(above / 3_000).toBeGreaterThan(0.03);
    expect(above / 3_000).toBeLessThan(0.07);
  });

  it("decides with the mean from when on a call is stuck", () => {
    expect(stuckAfterMs(undefined, 10)).toBe(Number.POSITIVE_INFINITY);
    expect(stuckAfterMs({ meanMs: 1, tailMs: 2 }, 3)).toBe(10);
    expect(stuckAfterMs({ meanMs: 1, tailMs: 100 }, 3)).toBe(200);
    expect(stuckAfterMs({ meanMs: 0.1, tailMs: 0.2 }, 30)).toBe(30);
  });
});

describe("whether one more call may wait", () => {
  it("is decided by the function's own limit first, then by what is left over to all others", () => {
    expect(queueLimit({ own: 0, ownMax: 0, all: 0, allMax: 10 })).toBe("function");
    expect(queueLimit({ own: 4, ownMax: 10, all: 4, allMax: 10 })).toBeUndefined();
    expect(queueLimit({ own: 5, ownMax: 10, all: 5, allMax: 10 })).toBe("worker");
    expect(queueLimit({ own: 0, ownMax: 10, all: 9, allMax: 10 })).toBeUndefined();
    expect(queueLimit({ own: 0, ownMax: 10, all: 10, allMax: 10 })).toBe("worker");
  });

  it("always leaves room to one that has nothing waiting, however many others have as much as they may", () => {
    const own = new Map<string, number>();
    let all = 0;
    for (let round = 0; round < 10_000; round += 1)
      for (const name of ["a", "b", "c", "d", "e"]) {
        const mine = own.get(name) ?? 0;
        if (queueLimit({ own: mine, ownMax: 1_000, all, allMax: 600 }) !== undefined) continue;
        own.set(name, mine + 1);
        all += 1;
      }
    expect([...own.values()]).toEqual([100, 100, 100, 100, 100]);
    expect(queueLimit({ own: 0, ownMax: 1_000, all, allMax: 600 })).toBeUndefined();
  });
});

describe("a sandbox that another function waits for", () => {
  const kept = { sinceMs: 1_000, makeMs: 20, madeMs: 1_000, loadedMs: 1_480, proven: true, nowMs: 0 };
  const from = (more: Partial<KeepSnapshot>): number => {
    for (let nowMs = 1_000; nowMs < 20_000; nowMs += 10)
      if (isPaidOff({ ...kept, ...more, nowMs })) return nowMs;
    return Number.POSITIVE_INFINITY;
  };

  it("stays for as long as it took to make, once its code is loaded", () => {
    expect(from({})).toBe(1_480 + 500);
    expect(from({ loadedMs: 1_010 })).toBe(1_010 + 100);
    expect(from({ makeMs: 9_000 })).toBe(1_480 + 5_000);
  });

  it("stays until it has answered, but not for ever", () => {
    expect(from({ proven: false })).toBe(1_000 + 5_000);
    expect(from({ loadedMs: undefined, proven: false })).toBe(1_000 + 5_000);
  });
});
