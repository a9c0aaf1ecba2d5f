import { setImmediate } from "node:timers/promises";

import { expect, test } from "vitest";

import { KeyedLock } from "../../src/store/keyed-lock.ts";

test("A lock lets those of one key go one after another, in their order, also after one that failed", async () => {
  const lock = new KeyedLock();
  const log: string[] = [];
  const act = (key: string, name: string, fails = false): Promise<void> =>
    lock.run(key, async () => {
      log.push(`${name} begins`);
      await setImmediate();
      log.push(`${name} ends`);
      if (fails) throw new Error(name);
    });
  const results = await Promise.allSettled([
    act("a", "first", true),
    act("a", "second"),
    act("b", "other"),
    act("a", "third"),
  ]);
  expect(results.map(({ status }) => status)).toEqual(["rejected", "fulfilled", "fulfilled", "fulfilled"]);
  const ofA = log.filter((line) => !line.startsWith("other"));
  expect(ofA).toEqual(["first", "second", "third"].flatMap((name) => [`${name} begins`, `${name} ends`]));
  expect(log.indexOf("other begins")).toBeLessThan(log.indexOf("first ends"));
});
