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

  it("is, whatever is wished for, nobody that does not fit, and never one that passes somebody too often", () => {
    const random = Random.fromEnvironment();
    for (let round = 0; round < 2_000; round += 1) {
      const line = Array.from({ length: Math.floor(random.between(0, 12)) }, () => ({
        memoryMb: Math.floor(random.between(1, 101)),
        overtaken: 0,
      }));
      for (let step = 0; step < 60 && line.length > 0; step += 1) {
        const freeMb = Math.floor(random.between(0, 110));
        const at = nextInLine(line, freeMb);
        const about = `seed ${random.seed}, round ${round}, step ${step}: ${JSON.stringify(line)}, ${freeMb} free`;
        if (at < 0) {
          const barrier = line.findIndex(({ overtaken }) => overtaken >= MOST_OVERTAKEN);
          const open = barrier < 0 ? line : line.slice(0, barrier + 1);
          expect(
            open.every(({ memoryMb }) => memoryMb > freeMb),
            about,
          ).toBe(true);
          continue;
        }
        expect(line[at]?.memoryMb, about).toBeLessThanOrEqual(freeMb);
        for (const passed of line.slice(0, at)) passed.overtaken += 1;
        expect(Math.max(0, ...line.map(({ overtaken }) => overtaken)), about).toBeLessThanOrEqual(MOST_OVERTAKEN);
        line.splice(at, 1);
        line.push({ memoryMb: Math.floor(random.between(1, 101)), overtaken: 0 });
      }
    }
  });
});
