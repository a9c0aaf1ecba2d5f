import { readFile } from "node:fs/promises";

import { describe, expect, it } from "vitest";

import { probeTable } from "./security/table.ts";
import { OPEN_TO_ZYGOTES } from "./security/zygote-probes.ts";

const PAGE = new URL("../../../../docs/security.md", import.meta.url);

describe("docs/security.md", () => {
  it("has one line for each probe, and says of each what the tests expect", async () => {
    const text = await readFile(PAGE, "utf8");
    const [, table = ""] = /\| a lambda tries to .*\n\|[-|]+\n((?:\|.*\n)+)/.exec(text) ?? [];
    expect(table.trimEnd()).toBe(probeTable());
  });

  it("names what is open to import code in a zygote and to no lambda", async () => {
    const text = await readFile(PAGE, "utf8");
    const [, list = ""] = /further zygotes takes:\n\n((?:- .*\n)+)/.exec(text) ?? [];
    expect(list.trimEnd().split("\n")).toEqual(OPEN_TO_ZYGOTES.map((title) => `- ${title}`));
  });
});
