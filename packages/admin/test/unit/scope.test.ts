import { describe, expect, test } from "vitest";

import { findScope, type Situation, scopeWords } from "../../src/worker/scope.ts";

const ALICE: Situation = {
  uid: 1000,
  systemd: true,
  unified: true,
  ownGroup: "0::/user.slice/user-1000.slice/session-3.scope\n",
  lingers: true,
};
const below = (ownGroup: string): Situation => ({ ...ALICE, lingers: false, ownGroup });

describe("a scope for a worker", () => {
  test("is made by the user's own manager, and by the system's for root", () => {
    expect(scopeWords(ALICE, "ol-x").slice(0, 3)).toEqual(["systemd-run", "--user", "--scope"]);
    expect(scopeWords(ALICE, "ol-x")).toContain("--property=Delegate=yes");
    expect(scopeWords(ALICE, "ol-x").slice(-2)).toEqual(["--unit=ol-x", "--"]);
    expect(scopeWords({ ...ALICE, uid: 0, lingers: false }, "ol-x")).toContain("--slice=system.slice");
    expect(scopeWords({ ...ALICE, uid: 0, lingers: false }, "ol-x")).not.toContain("--user");
  });

  test("is not made where the user's manager, and the worker with it, would end at his logout", () => {
    expect(scopeWords({ ...ALICE, lingers: false }, "ol-x")).toEqual([]);
    // Of another user: su does not change the group.
    expect(scopeWords(below("0::/user.slice/user-7.slice/user@7.service/a.scope\n"), "ol-x")).toEqual([]);
    const own = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/terminal.scope\n";
    expect(scopeWords(below(own), "ol-x")).not.toEqual([]);
  });

  test("is not made without systemd, or where a part of the groups cannot be given away", () => {
    expect(scopeWords({ ...ALICE, systemd: false }, "ol-x")).toEqual([]);
    expect(scopeWords({ ...ALICE, unified: false }, "ol-x")).toEqual([]);
  });

  test("is done without where systemd-run cannot be run", async () => {
    const environment = { PATH: "/nonexistent" };
    const scope = await findScope("ol-x", environment, new AbortController().signal);
    expect(scope).toEqual({ words: [], environment });
  });
});
