import { describe, expect, it } from "vitest";

import {
  desiredInstances,
  mayPipeline,
  nextMean,
  type PipelineSnapshot,
  type ScaleSnapshot,
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
    oldestRunMs: 0,
    meanStartMs: 10,
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
    expect(scale({ queued: 15, oldestRunMs: 100, freeSlots: 7 })).toBe(8);
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
    let mean = nextMean(undefined, 100);
    expect(mean).toBe(100);
    for (let count = 0; count < 100; count += 1) mean = nextMean(mean, 1);
    expect(mean).toBeLessThan(8);
  });
});
