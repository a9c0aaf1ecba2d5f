import path from "node:path";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { SLOWNESS } from "../../packages/sandbox/test/support/scale.ts";
import { Browser } from "./support/browser.ts";
import { ExampleCluster } from "./support/example-cluster.ts";

interface Updates {
  readonly ts: string;
  readonly messages: readonly { readonly user: string; readonly text: string; readonly ts: string }[];
}

const WAITING = 100;
/** No message is as new as this. */
const NEVER = "9999999999999";
const SOON = { timeout: 30_000 * SLOWNESS };

const cluster = new ExampleCluster();

const updates = async (ts: string): Promise<Updates> => {
  const { status, json } = await cluster.post("/run/pychat-updates", { ts });
  if (status !== 200) throw new Error(JSON.stringify(json));
  return json as Updates;
};

const say = async (user: string, text: string): Promise<unknown> =>
  (await cluster.post("/run/pychat-msg", { user, text })).json;

const textsOf = ({ messages }: Updates): string[] => messages.map(({ user, text }) => `${user}: ${text}`);

/** How many calls of `updates` wait in sandboxes. */
const waitingCalls = async (): Promise<number> => {
  const stats = (await (await cluster.get("/stats")).json()) as {
    readonly functions: readonly { readonly name: string; readonly running: number }[];
  };
  return stats.functions.find(({ name }) => name === "pychat-updates")?.running ?? 0;
};

beforeAll(async () => {
  cluster.make();
  await cluster.start();
  cluster.must("app", cluster.copyOfPychat());
});
afterAll(() => cluster.close());

describe("pychat", () => {
  it("init makes the chat, msg stores, updates with ts returns what is newer", async () => {
    expect(await say("Alice", "too early")).toEqual({ error: "there is no chat yet; init makes it" });
    const inits = await Promise.all(Array.from({ length: 4 }, () => cluster.post("/run/pychat-init", {})));
    expect(new Set(inits.map(({ status }) => status))).toEqual(new Set([200]));
    const begin = await updates("0");
    expect(textsOf(begin)).toEqual([": The chat begins."]);
    await say("Alice", "hello");
    await say("Bob", "  hello you ✓ ");
    const second = await updates(begin.ts);
    expect(textsOf(second)).toEqual(["Alice: hello", "Bob: hello you ✓"]);
    expect(textsOf(await updates(second.messages[0]?.ts ?? ""))).toEqual(["Bob: hello you ✓"]);
    expect(await say("", "x")).toMatchObject({ error: expect.stringContaining("needed are user") as string });
    expect((await cluster.post("/run/pychat-updates", { ts: "$" })).status).toBe(400);
  });

  it("updates waits 20 seconds at most", async () => {
    const began = performance.now();
    expect(await updates(NEVER)).toEqual({ messages: [], ts: NEVER });
    expect(performance.now() - began).toBeGreaterThan(19_000);
    expect(performance.now() - began).toBeLessThan(29_000 * SLOWNESS);
  });

  it(`lets ${WAITING} wait for a message, in one or two sandboxes, and it gets through to all of them`, async () => {
    const { ts } = await updates("0");
    const waiting = Promise.all(Array.from({ length: WAITING }, () => updates(ts)));
    await expect.poll(waitingCalls, { timeout: 15_000 }).toBe(WAITING);
    const sandboxes = cluster.must("status").match(/pychat-updates/gu);
    expect(sandboxes?.length).toBeLessThanOrEqual(2);
    await say("Alice", "all of you");
    expect(new Set((await waiting).map((reply) => textsOf(reply).join()))).toEqual(
      new Set(["Alice: all of you"]),
    );
  });

  it("forgets who waited and went away", async () => {
    const gone = new AbortController();
    const body = JSON.stringify({ ts: NEVER });
    const poll = cluster.get("/run/pychat-updates", { method: "POST", body, signal: gone.signal });
    await expect.poll(waitingCalls, { timeout: 10_000 }).toBe(1);
    gone.abort();
    await expect(poll).rejects.toThrow("abort");
    // Not after the 20 seconds.
    await expect.poll(waitingCalls, { timeout: 8_000 }).toBe(0);
  });

  it("has a page on which two see what the other says, at a desk and on a phone", async () => {
    const page = `${cluster.url}/run/pychat-static`;
    await using alice = await Browser.open(page, 900, 700);
    await using bob = await Browser.open(page, 390, 760);
    for (const [name, browser] of Object.entries({ Alice: alice, Bob: bob })) {
      await expect.poll(() => browser.text("#state"), SOON).toBe("Connected");
      await browser.focus("#user");
      await browser.type(name);
      await browser.focus("#text");
    }
    await alice.type("Hello <b>Bob</b>, do you hear me?");
    await alice.pressEnter();
    await expect.poll(() => bob.text("#messages"), SOON).toContain("Hello <b>Bob</b>, do you hear me?");
    await bob.type("Loud and clear.");
    await bob.evaluate('document.querySelector("button").click()');
    await expect.poll(() => alice.text("#messages"), SOON).toContain("Loud and clear.");
    expect(await alice.evaluate('document.querySelectorAll(".own").length')).toBe(1);
    expect(await bob.evaluate("document.documentElement.scrollWidth <= innerWidth")).toBe(true);
    expect(await bob.accessible()).toEqual(
      expect.arrayContaining(["log: Messages", "textbox: Name", "textbox: Message", "button: Send"]),
    );
    const directory = process.env["OL_TEST_SCREENSHOTS"];
    if (directory !== undefined)
      for (const [name, browser] of Object.entries({ alice, bob }))
        await browser.screenshot(path.join(directory, `${name}.png`));
  });
});
