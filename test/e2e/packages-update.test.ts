import { setTimeout as delay } from "node:timers/promises";

import { describe, expect, it } from "vitest";

import { wheel } from "../../packages/lambda/test/support/package-index/wheel.ts";
import { PackageRig } from "./support/package-rig.ts";

const DISTRIBUTIONS = ["1.0", "2.0", "3.0"].map((version) => wheel({ name: "ol_plain", version }));
const PATIENCE = { timeout: 60_000, interval: 200 };

/** Calls without a pause until told to stop; what was answered, each as often as it came in a row. */
const callsOf = (rig: PackageRig, name: string): { stop: () => Promise<readonly string[]> } => {
  const stopping = new AbortController();
  const answers: string[] = [];
  const calling = (async () => {
    while (!stopping.signal.aborted) {
      const answer = (await rig.ask(name)).join(" ").trim();
      if (answers.at(-1) !== answer) answers.push(answer);
      await delay(20);
    }
  })();
  const stop = async (): Promise<readonly string[]> => {
    stopping.abort();
    await calling;
    return answers;
  };
  return { stop };
};

describe("new code that names other packages", () => {
  it("takes over once they are installed; no call fails, and none waits for it", async () => {
    const rig = await PackageRig.start({ distributions: DISTRIBUTIONS });
    rig.imports("plain", "ol-plain==1.0\n", "ol_plain.VERSION");
    expect(await rig.ask("plain")).toEqual([200, '"1.0"']);
    const calls = callsOf(rig, "plain");
    rig.index.trouble = "hold";
    rig.imports("plain", "ol-plain==2.0\n", "ol_plain.VERSION");
    await rig.index.holds(1);
    const sinceMs = performance.now();
    expect(await rig.ask("plain")).toEqual([200, '"1.0"']);
    expect(performance.now() - sinceMs).toBeLessThan(10_000);
    rig.index.trouble = undefined;
    await expect.poll(() => rig.ask("plain"), PATIENCE).toEqual([200, '"2.0"']);
    expect(await calls.stop()).toEqual(['200 "1.0"', '200 "2.0"']);
  });

  it("that cannot be had leaves the code before it serving, and stats and log say why", async () => {
    const rig = await PackageRig.start({ distributions: DISTRIBUTIONS });
    rig.imports("plain", "ol-plain==1.0\n", "ol_plain.VERSION");
    expect(await rig.ask("plain")).toEqual([200, '"1.0"']);
    const calls = callsOf(rig, "plain");
    const fault = async (): Promise<string | undefined> =>
      (await rig.page<{ functions: { fault?: string }[] }>("/stats")).functions[0]?.fault;
    rig.imports("plain", "ol-plain==9\n", "ol_plain.VERSION");
    await expect.poll(fault, PATIENCE).toMatch(/ol-plain==9/u);
    rig.imports("plain", "ol-plain =< 2\n", "ol_plain.VERSION");
    await expect.poll(fault, PATIENCE).toMatch(/requirements\.txt:1: .*<=/u);
    expect(rig.worker.log()).toMatch(/new code cannot be used; the code before it still is.*ol-plain==9/u);
    rig.index.trouble = "error";
    rig.imports("plain", "ol-plain==2.0\n", "ol_plain.VERSION");
    await expect.poll(fault, PATIENCE).toBe("OL_LAMBDA_PACKAGES_UNAVAILABLE");
    expect(await rig.ask("plain")).toEqual([200, '"1.0"']);
    rig.index.trouble = undefined;
    await expect.poll(() => rig.ask("plain"), PATIENCE).toEqual([200, '"2.0"']);
    expect(await fault()).toBeUndefined();
    expect(await calls.stop()).toEqual(['200 "1.0"', '200 "2.0"']);
  });

  it("is resolved anew, and the same code never: what was resolved is kept beside the code", async () => {
    const rig = await PackageRig.start({ distributions: DISTRIBUTIONS.slice(0, 1) });
    rig.imports("plain", "ol-plain\n", "ol_plain.VERSION");
    expect(await rig.ask("plain")).toEqual([200, '"1.0"']);
    rig.index.add(...DISTRIBUTIONS.slice(1, 2));
    rig.worker.signal("SIGTERM");
    await rig.worker.exited;
    await rig.restart();
    expect(await rig.ask("plain")).toEqual([200, '"1.0"']);
    expect(await rig.stats()).toMatchObject({ resolved: 0, installed: 0 });
    rig.imports("plain", "ol-plain\n", "ol_plain.VERSION + '!'");
    await expect.poll(() => rig.ask("plain"), PATIENCE).toEqual([200, '"2.0!"']);
  });
});
