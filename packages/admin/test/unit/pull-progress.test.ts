import { describe, expect, test } from "vitest";

import { PullProgress } from "../../src/base/pull-progress.ts";

const event = (id: string, current: number, total: number): string =>
  JSON.stringify({ status: "Downloading", id, progressDetail: { current, total } });

describe("the progress of a pull", () => {
  test("is that of all layers, and does not go back when one is unpacked", () => {
    const progress = new PullProgress();
    for (const line of [event("a", 10, 100), event("b", 5, 50), event("a", 100, 100), event("a", 1, 100)])
      expect(progress.take(line)).toBeUndefined();
    expect([progress.done, progress.total]).toEqual([105, 150]);
  });

  test("ends with the daemon's word for what went wrong", () => {
    expect(new PullProgress().take('{"errorDetail":{"message":"x"},"error":"no space"}')).toBe("no space");
  });

  test.each([
    "",
    "{",
    "null",
    "[]",
    '"x"',
    '{"status":"Pulling","id":"a"}',
    '{"id":1,"progressDetail":null}',
  ])("takes %j for nothing", (line) => {
    const progress = new PullProgress();
    expect(progress.take(line)).toBeUndefined();
    expect(progress.total).toBe(0);
  });
});
