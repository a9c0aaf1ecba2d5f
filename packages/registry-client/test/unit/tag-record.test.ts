import { describe, expect, it } from "vitest";

import {
  forgotten,
  formatTagRecord,
  MAX_HISTORY,
  moved,
  parseTagRecord,
  rolledBack,
  type TagRecord,
  trimmed,
  type VersionEntry,
} from "../../src/tag-record.ts";

const entry = (letter: string, more: Partial<VersionEntry> = {}): VersionEntry => ({
  digest: letter.repeat(64),
  size: 1,
  time: "2026-01-01T00:00:00.000Z",
  ...more,
});

/** After uploads of these, in that order. */
const after = (letters: string, keep = MAX_HISTORY): TagRecord => {
  let record: TagRecord | undefined;
  for (const letter of letters) record = moved(record, entry(letter), keep);
  return record as TagRecord;
};

const shape = ({ digest, history }: TagRecord): string =>
  [digest, ...history.map((one) => (one.undone === true ? one.digest.toUpperCase() : one.digest))]
    .map((text) => text[0])
    .join("");

describe("a tag's record", () => {
  it("remembers what it pointed at, newest first, each version once", () => {
    expect(shape(after("abc"))).toBe("cba");
    expect(shape(after("abca"))).toBe("acb");
    expect(shape(after("abcc"))).toBe("cba");
  });

  it("remembers as many as it is told, the current one counted, and a hundred at most", () => {
    expect(shape(after("abcd", 2))).toBe("dc");
    expect(shape(after("abcd", 1))).toBe("d");
    expect(shape(trimmed(after("abcd"), 3))).toBe("dcb");
    let record = after("a");
    for (let count = 0; count < 150; count += 1)
      record = moved(record, { ...entry("b"), digest: count.toString(16).padStart(64, "0") }, 1_000);
    expect(record.history.length).toBe(MAX_HISTORY);
  });

  it("is the very same if the same is uploaded again", () => {
    const record = after("ab");
    expect(moved(record, entry("b", { time: "later" }), MAX_HISTORY)).toBe(record);
    expect(moved(record, entry("b", { signature: "s" }), MAX_HISTORY)).toMatchObject({ signature: "s" });
  });

  it("goes back version by version, and never forward by itself", () => {
    const first = rolledBack(after("abc"), undefined, "now") as TagRecord;
    expect(shape(first)).toBe("bCa");
    const second = rolledBack(first, undefined, "now") as TagRecord;
    expect(shape(second)).toBe("aBC");
    expect(rolledBack(second, undefined, "now")).toBeUndefined();
    expect(shape(moved(second, entry("d"), MAX_HISTORY))).toBe("daBC");
    expect(shape(rolledBack(second, entry("c"), "now") as TagRecord)).toBe("cAB");
  });

  it("takes what describes a version along when it goes back", () => {
    const one = moved(undefined, entry("a", { signature: "s", minInstances: 2 }), MAX_HISTORY);
    const two = moved(one, entry("b"), MAX_HISTORY);
    expect(two).not.toHaveProperty("signature");
    expect(two).not.toHaveProperty("minInstances");
    expect(rolledBack(two, undefined, "now")).toMatchObject({ signature: "s", minInstances: 2, time: "now" });
  });

  it("forgets one version, and only that", () => {
    const record = after("abc");
    expect(shape(forgotten(record, "a".repeat(64)))).toBe("cb");
    expect(forgotten(record, "d".repeat(64))).toBe(record);
  });

  it("keeps fields of a later version when it is written again", () => {
    const later = parseTagRecord(
      Buffer.from(JSON.stringify({ ...entry("a"), history: [{ ...entry("b"), by: "me" }], channel: "beta" })),
    ) as TagRecord;
    const again = parseTagRecord(formatTagRecord(moved(later, entry("c"), MAX_HISTORY)));
    expect(again).toMatchObject({ channel: "beta", history: [{ digest: "a".repeat(64) }, { by: "me" }] });
  });

  it.each([
    "",
    "null",
    "[]",
    '"text"',
    '{"digest":"a"}',
    JSON.stringify({ ...entry("A") }),
    JSON.stringify({ ...entry("a"), size: -1 }),
    JSON.stringify({ ...entry("a"), size: "1" }),
    JSON.stringify({ ...entry("a"), signature: 1 }),
    JSON.stringify({ ...entry("a"), signature: "A".repeat(60_000) }),
    `${JSON.stringify(entry("a")).slice(0, -1)},"deep":${"[".repeat(30_000)}${"]".repeat(30_000)}}`,
    JSON.stringify({ ...entry("a"), minInstances: 1.5 }),
    JSON.stringify({ ...entry("a"), history: {} }),
    JSON.stringify({ ...entry("a"), history: [{ digest: "../../x" }] }),
  ])("is none if it is %j", (text) => {
    expect(parseTagRecord(Buffer.from(text))).toBeUndefined();
  });
});
