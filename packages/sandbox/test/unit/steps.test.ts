import { describe, expect, it } from "vitest";

import { parseSteps } from "../../src/index.ts";

const body = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

describe("what a guest says of the steps of making its sandbox", () => {
  it("is read with its names and times", () => {
    expect(
      parseSteps(
        body({
          broker: [["asked", 5]],
          leaf: [
            ["asked", 7],
            ["fork", 9],
          ],
        }),
      ),
    ).toEqual({
      broker: [{ step: "asked", atNs: 5n }],
      leaf: [
        { step: "asked", atNs: 7n },
        { step: "fork", atNs: 9n },
      ],
    });
  });

  it.each([
    ["no JSON", Buffer.from("{")],
    ["no object", body(null)],
    ["a list that is missing", body({ broker: [] })],
    ["a list that is none", body({ broker: [], leaf: "fork" })],
    ["too many steps", body({ broker: [], leaf: Array.from({ length: 65 }, () => ["fork", 1]) })],
    ["a name with something else in it", body({ broker: [], leaf: [["fork\n", 1]] })],
    ["a time that is none", body({ broker: [], leaf: [["fork", 1.5]] })],
    ["a time before the beginning", body({ broker: [], leaf: [["fork", -1]] })],
    ["a step with more to it", body({ broker: [], leaf: [["fork", 1, 2]] })],
  ])("is nothing if it is not what the runtime writes: %s", (_what, wrong) => {
    expect(parseSteps(wrong)).toBeUndefined();
  });
});
