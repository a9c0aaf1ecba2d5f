import { execFileSync } from "node:child_process";
import {
  appendFileSync,
  mkdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";

import { beforeEach, describe, expect, onTestFinished, test } from "vitest";

import { admin, newCluster } from "../support/harness.ts";

const ID = "01M7Y5A1GF99CWQPX6P1399H01";
const OTHER = "01M7Y5A1T45JG2PS5N8V3AQ60M";

let cwd: string;
let cluster: string;
let scratch: string;

beforeEach(async () => {
  ({ cwd, cluster } = await newCluster());
  scratch = join(cluster, "workers/worker-0/handlers/hello");
  mkdirSync(join(scratch, "s1"), { recursive: true });
});

const logs = async (...tokens: string[]): Promise<string> =>
  (await admin(["logs", "hello", ...tokens], { cwd })).stdout;

describe("logs", () => {
  test("prints living and ended sandboxes' output, the oldest first", async () => {
    mkdirSync(join(cluster, "logs/lambdas/hello"));
    writeFileSync(join(cluster, "logs/lambdas/hello/s0.stderr"), "old\nwithout end");
    utimesSync(join(cluster, "logs/lambdas/hello/s0.stderr"), 1, 1);
    writeFileSync(join(scratch, "s1/stdout"), `${ID} new\n`);
    expect(await logs()).toBe(`old\nwithout end\n${ID} new\n`);
  });

  test("prints only one invocation's lines if asked to", async () => {
    writeFileSync(join(scratch, "s1/stdout"), `loading\n${ID} a\n${OTHER} b\n${ID} c\n`);
    expect(await logs(`--invocation=${ID}`)).toBe(`${ID} a\n${ID} c\n`);
    expect(JSON.parse(await logs(`--invocation=${OTHER}`, "--json"))).toEqual({
      sandbox: "s1",
      stream: "stdout",
      invocation: OTHER,
      text: "b",
    });
  });

  test("shows control characters instead of obeying them", async () => {
    writeFileSync(join(scratch, "s1/stdout"), "\u001b]0;owned\u0007\u001b[2J\rx\n");
    expect(await logs()).toBe("\\x1b]0;owned\\x07\\x1b[2J\\x0dx\n");
  });

  test("never follows what a lambda put in place of its files", async () => {
    writeFileSync(join(cluster, "secret"), "secret\n");
    symlinkSync(join(cluster, "secret"), join(scratch, "s1/stdout"));
    execFileSync("mkfifo", [join(scratch, "s1/stderr")]);
    mkdirSync(join(scratch, "s2/stdout"), { recursive: true });
    symlinkSync(cluster, join(scratch, "s3"));
    expect(await logs()).toBe("");
  });

  test("shows a line of many megabytes in pieces", async () => {
    writeFileSync(join(scratch, "s1/stdout"), "x".repeat(3 * 1024 * 1024));
    expect((await logs()).replaceAll("\n", "")).toHaveLength(3 * 1024 * 1024);
  });

  test("says so when there is nothing", async () => {
    const outcome = await admin(["logs", "quiet"], { cwd });
    expect(outcome).toMatchObject({ code: 0, stdout: "" });
    expect(outcome.stderr).toContain("quiet has written nothing yet");
  });
});

const follow = (): { text: () => string; end: () => Promise<number> } => {
  const controller = new AbortController();
  let text = "";
  const done = admin(["logs", "hello", "-f"], {
    cwd,
    signal: controller.signal,
    printed: (now) => {
      text = now;
    },
  });
  const end = async (): Promise<number> => {
    controller.abort(new Error("ended"));
    return (await done).code;
  };
  onTestFinished(async () => void (await end()));
  return { text: () => text, end };
};
/** What was printed, once it is `expected`, or after some time whatever it is. */
const printed = async (text: () => string, expected: string): Promise<string> => {
  const end = performance.now() + 5000;
  while (text() !== expected && performance.now() < end) await new Promise(setImmediate);
  return text();
};

describe("logs -f", () => {
  test("prints what is added, in new sandboxes too, until it is ended", async () => {
    writeFileSync(join(scratch, "s1/stdout"), "one\n");
    const { text, end } = follow();
    expect(await printed(text, "one\n")).toBe("one\n");
    appendFileSync(join(scratch, "s1/stdout"), "tw");
    appendFileSync(join(scratch, "s1/stdout"), "o\n");
    expect(await printed(text, "one\ntwo\n")).toBe("one\ntwo\n");
    mkdirSync(join(scratch, "s2"));
    writeFileSync(join(scratch, "s2/stderr"), "three\n");
    expect(await printed(text, "one\ntwo\nthree\n")).toBe("one\ntwo\nthree\n");
    mkdirSync(join(cluster, "workers/worker-1/handlers/hello/s3"), { recursive: true });
    writeFileSync(join(cluster, "workers/worker-1/handlers/hello/s3/stdout"), "four\n");
    expect(await printed(text, "one\ntwo\nthree\nfour\n")).toBe("one\ntwo\nthree\nfour\n");
    expect(await end()).toBe(0);
  });

  test("prints nothing twice when a sandbox ends and its output is kept", async () => {
    writeFileSync(join(scratch, "s1/stdout"), "one\n");
    const { text } = follow();
    expect(await printed(text, "one\n")).toBe("one\n");
    appendFileSync(join(scratch, "s1/stdout"), "last\n");
    mkdirSync(join(cluster, "logs/lambdas/hello"));
    writeFileSync(join(cluster, "logs/lambdas/hello/s1.stdout"), "one\nlast\n");
    renameSync(join(scratch, "s1"), join(cluster, "trash"));
    rmSync(join(cluster, "trash"), { recursive: true });
    mkdirSync(join(scratch, "s2"));
    writeFileSync(join(scratch, "s2/stdout"), "next\n");
    expect(await printed(text, "one\nlast\nnext\n")).toBe("one\nlast\nnext\n");
  });

  test("goes on in a directory that was removed and made again at once", async () => {
    writeFileSync(join(scratch, "s1/stdout"), "one\n");
    const { text } = follow();
    expect(await printed(text, "one\n")).toBe("one\n");
    rmSync(scratch, { recursive: true });
    mkdirSync(join(scratch, "s2"), { recursive: true });
    writeFileSync(join(scratch, "s2/stdout"), "two\n");
    expect(await printed(text, "one\ntwo\n")).toBe("one\ntwo\n");
    // Until every event of that was answered: a late one would have it look once more.
    await new Promise((resolve) => setTimeout(resolve, 200));
    mkdirSync(join(scratch, "s3"));
    writeFileSync(join(scratch, "s3/stdout"), "three\n");
    expect(await printed(text, "one\ntwo\nthree\n")).toBe("one\ntwo\nthree\n");
  });

  test("goes on after a file was cut off", async () => {
    writeFileSync(join(scratch, "s1/stdout"), "one\ntwo\n");
    const { text } = follow();
    expect(await printed(text, "one\ntwo\n")).toBe("one\ntwo\n");
    truncateSync(join(scratch, "s1/stdout"), 4);
    appendFileSync(join(scratch, "s1/stdout"), "three\n");
    await expect.poll(() => text(), { timeout: 2000 }).toContain("one\ntwo\n");
    appendFileSync(join(scratch, "s1/stdout"), "four\n");
    await expect.poll(() => text(), { timeout: 5000 }).toContain("four\n");
  });

  test("waits for a lambda that has not run yet", async () => {
    rmSync(join(cluster, "workers/worker-0"), { recursive: true });
    const { text } = follow();
    mkdirSync(join(scratch, "s9"), { recursive: true });
    writeFileSync(join(scratch, "s9/stdout"), "first\n");
    expect(await printed(text, "first\n")).toBe("first\n");
  });
});
