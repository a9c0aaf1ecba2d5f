import { PassThrough } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";

import { describe, expect, test } from "vitest";

import { Output } from "../../src/cli/output.ts";
import { progressBar, withProgress } from "../../src/cli/progress.ts";

const terminal = (): { output: Output; said: () => string } => {
  let text = "";
  const messages = new PassThrough();
  messages.on("data", (data: Buffer) => (text += data.toString()));
  return {
    output: new Output(new PassThrough(), Object.assign(messages, { isTTY: true })),
    said: () => text,
  };
};

describe("progress", () => {
  test.each([
    [0, 2_000_000, "[--------------------] 0 % of 2.0 MB"],
    [999_999, 2_000_000, "[##########----------] 49 % of 2.0 MB"],
    [2_000_000, 2_000_000, "[####################] 100 % of 2.0 MB"],
    [3, 2, "[####################] 100 % of 0.0 MB"],
    [0, 0, "[####################] 100 % of 0.0 MB"],
  ])("of %d of %d bytes is %s", (done, total, bar) => {
    expect(progressBar(done, total)).toBe(bar);
  });

  test("is not said of what takes less than a second", async () => {
    const { output, said } = terminal();
    expect(await withProgress(output, "working", sleep(50, 7))).toBe(7);
    expect(said()).toBe("");
  });

  test("is said anew as it goes, and cleared in the end", async () => {
    const { output, said } = terminal();
    let at = 0;
    await withProgress(output, () => `sending ${progressBar((at += 1), 10)}`, sleep(1_600));
    expect(said()).toMatch(/sending \[##-+\] 10 %.*sending \[####-+\] 20 %/su);
    expect(said().endsWith("\r\u001B[K")).toBe(true);
  });
});
