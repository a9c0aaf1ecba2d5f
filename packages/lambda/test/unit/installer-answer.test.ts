import { formatLock } from "@ol/bundle";
import { assert, json, oneof, property, string } from "fast-check";
import { describe, expect, it } from "vitest";

import {
  AnswerError,
  installerError,
  parseAnswer,
  parseOutcomes,
  parsePins,
} from "../../src/packages/installer-answer.ts";

const HASH = "a".repeat(64);
const PIN = { name: "numpy", version: "2.1.0", hashes: [HASH], requires: [] as string[] };
const HEAD = { python: "3.11", machine: "x86_64", requirements: HASH };

/** Whether the text is taken or refused, and nothing else happens. */
const isSafe = (text: string): boolean => {
  try {
    const answer = parseAnswer(Buffer.from(text));
    return answer["ok"] === true ? parsePins(answer).length >= 0 : typeof answer["kind"] === "string";
  } catch (error) {
    return error instanceof AnswerError;
  }
};

describe("an answer of the installer's", () => {
  it("is pins as a lock has them: sorted, and with versions in their one spelling", () => {
    const pins = parsePins({
      pins: [
        { ...PIN, requires: ["b", "a"] },
        { ...PIN, name: "b" },
        { ...PIN, name: "a", version: "v1.0-RC1" },
      ],
    });
    expect(pins.map(({ name, version }) => [name, version])).toEqual([
      ["a", "1.0rc1"],
      ["b", "2.1.0"],
      ["numpy", "2.1.0"],
    ]);
    expect(pins[2]?.requires).toEqual(["a", "b"]);
    expect(() => formatLock({ ...HEAD, pins })).not.toThrow();
  });

  it.each([
    ["no list", "numpy"],
    ["a name that leads elsewhere", [{ ...PIN, name: "../../etc" }]],
    ["a version that leads elsewhere", [{ ...PIN, version: "1/../../x" }]],
    ["a version that is none", [{ ...PIN, version: "one" }]],
    ["no hash", [{ ...PIN, hashes: [] }]],
    ["a hash that is none", [{ ...PIN, hashes: ["x"] }]],
    ["a package twice", [PIN, PIN]],
    ["a requirement that is not pinned", [{ ...PIN, requires: ["pandas"] }]],
    ["numbers", [{ ...PIN, version: 2 }]],
    ["null", [null]],
    ["too many", Array.from({ length: 1_001 }, (_one, at) => ({ ...PIN, name: `n${at}` }))],
  ])("with %s is not believed", (_what, pins) => {
    expect(() => parsePins({ pins })).toThrow(AnswerError);
  });

  it("tells of every package that was to be installed, or is not believed", () => {
    const failed = { ok: false, kind: "mismatch", reason: "why" };
    expect(parseOutcomes({ results: [{ ok: true, bytes: 3 }, failed] }, 2)).toEqual([
      { ok: true, bytes: 3 },
      failed,
    ]);
    expect(parseOutcomes({ results: [{ ...failed, kind: "__proto__" }] }, 1)).toMatchObject([
      { kind: "failed" },
    ]);
    for (const results of [
      [],
      [failed, failed],
      [{ ok: true }],
      [{ ok: true, bytes: -1 }],
      [{ ok: true, bytes: 1e99 }],
    ])
      expect(() => parseOutcomes({ results }, 1)).toThrow(AnswerError);
  });

  it("is refused in one way, whatever it is", () => {
    expect(() => assert(property(oneof(json(), string()), isSafe))).not.toThrow();
  });
});

describe("what an installer's fault is to the caller", () => {
  it("is the author's if the requirements ask for what there is not, and passing if it is not theirs", () => {
    expect(installerError("unsatisfiable", "why")).toMatchObject({
      causedBy: "user",
      status: 500,
      message: "why",
    });
    expect(installerError("failed", "why", "numpy==1")).toMatchObject({
      causedBy: "user",
      message: "numpy==1: why",
    });
    for (const kind of ["unreachable", "mismatch", "no-space", "no-tool"] as const)
      expect(installerError(kind, "why")).toMatchObject({ causedBy: "system", status: 503 });
  });
});
