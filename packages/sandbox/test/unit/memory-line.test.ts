import { describe, expect, it } from "vitest";

import { MOST_OVERTAKEN, type Wish, nextInLine } from "../../src/memory-line.ts";
import { Random } from "../support/random.ts";

const wish = (memoryMb: number, overtaken = 0): Wish => ({ memoryMb, overtaken });

describe("who of a line for memory is next", () => {
  it("is the first if there is enough for it", () => {
    expect(nextInLine([wish(50), wish(10)], 50)).toBe(0);
  });

  it("is the first for whom there is enough", () => {
    expect(nextInLine([wish(50), wish(40), wish(10)], 20)).toBe(2);
  });

  it("is nobody when there is not enough for anybody, or nobody waits", () => {
    expect(nextInLine([wish(50), wish(40)], 20)).toBe(-1);
    expect(nextInLine([], 20)).toBe(-1);
  });

  it("is nobody behind one that was overtaken too often", () => {
    expect(nextInLine([wish(50), wish(40, MOST_OVERTAKEN), wish(10)], 20)).toBe(-1);
    expect(nextInLine([wish(50), wish(40, MOST_OVERTAKEN), wish(10)], 40)).toBe(1);
  });

  it("passes nobody too often, serves nobody that does not fit, and keeps back only for those it passed often", () => {
    const random = Random.fromEnvironment();
    const whole = (most: number): number => Math.floor(random.between(0, most + 1));
    const wrong: string[] = [];
    for (let step = 0, line: Wish[] = []; step < 100_000; step += 1) {
      if (line.length < 12) line.push(wish(1 + whole(99)));
      const freeMb = whole(110);
      const at = nextInLine(line, freeMb);
      const fault = faultOf(line, freeMb, at);
      if (fault !== undefined) wrong.push(`${fault} ${JSON.stringify({ at, freeMb, line })}`);
      const passed = line.slice(0, Math.max(at, 0)).map((each) => wish(each.memoryMb, each.overtaken + 1));
      line = at < 0 ? line : [...passed, ...line.slice(at + 1)];
    }
    expect(wrong, `seed ${random.seed}`).toEqual([]);
  });
});

/** What is wrong with serving the one at that place. */
const faultOf = (line: readonly Wish[], freeMb: number, at: number): string | undefined => {
  const often = line.findIndex(({ overtaken }) => overtaken >= MOST_OVERTAKEN);
  const open = often < 0 ? line : line.slice(0, often + 1);
  const fitting = open.findIndex(({ memoryMb }) => memoryMb <= freeMb);
  if (at !== fitting) return "not the first that fits and may pass:";
  if (line.slice(0, Math.max(at, 0)).some(({ overtaken }) => overtaken >= MOST_OVERTAKEN))
    return "passed too often:";
  return undefined;
};
