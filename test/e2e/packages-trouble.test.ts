import { setTimeout as delay } from "node:timers/promises";

import { describe, expect, it } from "vitest";

import type { IndexTrouble } from "../../packages/lambda/test/support/package-index/package-index.ts";
import { wheel } from "../../packages/lambda/test/support/package-index/wheel.ts";
import { descendantsOf, treesOf } from "../../packages/sandbox/test/support/leftovers.ts";
import { IMPATIENT, PackageRig, type PackageRigOptions } from "./support/package-rig.ts";

const DISTRIBUTIONS = [wheel({ name: "ol_plain" }), wheel({ name: "ol_needs", requires: ["ol-plain"] })];
const PATIENCE_MS = 60_000;

const start = (options: PackageRigOptions = {}): Promise<PackageRig> =>
  PackageRig.start({ distributions: DISTRIBUTIONS, environment: IMPATIENT, ...options });

/** Calls as a client that does what Retry-After says, until the answer is another one. */
const untilServed = async (rig: PackageRig, name: string): Promise<readonly [number, string]> => {
  const untilMs = performance.now() + PATIENCE_MS;
  for (;;) {
    const answer = await rig.ask(name);
    if (answer[0] !== 503 || performance.now() > untilMs) return answer;
    await delay(500);
  }
};

const TROUBLES: readonly (readonly [IndexTrouble, RegExp])[] = [
  ["reset", /index cannot be reached/u],
  ["error", /index cannot be reached/u],
  ["cut", /index cannot be reached/u],
  ["swap", /another file than it says/u],
];

describe.each(["uv", "pip"])("with %s", (tool) => {
  it.each(TROUBLES)(
    "an index that has trouble (%s) is said to, and what it has is had when that is over",
    async (trouble, text) => {
      const rig = await start({ config: { package_tool: tool } });
      rig.imports("needs", "ol-needs\n", "ol_plain.VERSION", "ol_needs, ol_plain");
      rig.index.trouble = trouble;
      const { status, headers, body } = await rig.call("needs");
      expect([status, body.toString()]).toEqual([503, expect.stringMatching(text)]);
      expect([headers["retry-after"], headers["x-ol-not-started"]]).toEqual(["1", "1"]);
      expect(body.toString()).not.toMatch(/Traceback|site-packages|\/tmp\/ol-/u);
      expect([rig.installed(), rig.unfinished()]).toEqual([[], []]);
      rig.index.trouble = undefined;
      expect(await untilServed(rig, "needs")).toEqual([200, '"1.0"']);
      expect(rig.unfinished()).toEqual([]);
    },
  );
});

describe("installing packages", () => {
  it("goes on while calls are told after install_wait_ms to come again", async () => {
    const rig = await start({ config: { install_wait_ms: 500 } });
    rig.index.trouble = "hold";
    rig.imports("needs", "ol-needs\n", "ol_plain.VERSION", "ol_needs, ol_plain");
    const { status, headers, body } = await rig.call("needs");
    expect([status, headers["retry-after"], headers["x-ol-not-started"]]).toEqual([503, "1", "1"]);
    expect(body.toString()).toMatch(/still being installed/u);
    await rig.index.holds(2);
    expect(await rig.stats()).toMatchObject({ providing: 1, installed: 0 });
    const { functions } = await rig.page<{ functions: { code: string }[] }>("/stats");
    expect(functions).toMatchObject([{ code: "loading", installing: true }]);
    rig.index.trouble = undefined;
    expect(await untilServed(rig, "needs")).toEqual([200, '"1.0"']);
    expect(rig.index.downloadsOf("ol-needs")).toBe(1);
  });

  it("that the worker's end interrupts is done by the next worker, and leaves nothing", async () => {
    const rig = await start();
    rig.index.trouble = "hold";
    rig.imports("needs", "ol-needs\n", "ol_plain.VERSION", "ol_needs, ol_plain");
    const cut = rig.ask("needs").catch(() => undefined);
    await rig.index.holds(2);
    rig.worker.signal("SIGKILL");
    await rig.worker.exited;
    await cut;
    rig.index.trouble = undefined;
    await rig.restart();
    expect([rig.installed(), rig.unfinished()]).toEqual([[], []]);
    expect(await rig.ask("needs")).toEqual([200, '"1.0"']);
  });

  it("that the broker's end interrupts ends the worker, and is done by the next one", async () => {
    const rig = await start();
    rig.index.trouble = "hold";
    rig.imports("needs", "ol-needs\n", "ol_plain.VERSION", "ol_needs, ol_plain");
    const cut = rig.ask("needs").catch(() => undefined);
    await rig.index.holds(2);
    const broker = descendantsOf(rig.worker.pid).find((pid) => treesOf(pid).length > 0);
    process.kill(broker ?? 0, "SIGKILL");
    await rig.worker.exited;
    await cut;
    rig.index.trouble = undefined;
    await rig.restart();
    expect([rig.installed(), rig.unfinished()]).toEqual([[], []]);
    expect(await rig.ask("needs")).toEqual([200, '"1.0"']);
  });

  it("that takes longer, or more room, than installer_limits is ended, and said to be", async () => {
    const large = wheel({ name: "ol_large", files: { "ol_large.py": Buffer.alloc(40 * 1024 * 1024, "\n") } });
    const rig = await start({
      distributions: [...DISTRIBUTIONS, large],
      config: { installer_limits: { runtime_sec: 10, scratch_mb: 20 } },
    });
    rig.imports("large", "ol-large\n", "1", "ol_large");
    expect(await rig.ask("large")).toEqual([503, expect.stringMatching(/installer_limits\.scratch_mb/u)]);
    rig.index.trouble = "hold";
    rig.imports("slow", "ol-plain\n", "ol_plain.VERSION");
    expect(await rig.ask("slow")).toEqual([503, expect.stringMatching(/installer_limits\.runtime_sec/u)]);
    rig.index.trouble = undefined;
    expect(await untilServed(rig, "slow")).toEqual([200, '"1.0"']);
    expect(rig.unfinished()).toEqual([]);
  });
});
