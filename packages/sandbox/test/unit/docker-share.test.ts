import { describe, expect, it } from "vitest";

import { deferred } from "@ol/common";

import { Allowance, limitsOfAll } from "../../src/docker/allowance.ts";
import { memoryKillsIn } from "../../src/docker/cgroup-memory.ts";
import { ControlChannel } from "../../src/docker/control-channel.ts";
import { resourcesOf } from "../../src/docker/daemon-answers.ts";
import { socketPair } from "../../src/testing/socket-pair.ts";

const LIMITS = { memoryMb: 50, swappiness: 0, procs: 10, cpuPercent: 150, logMb: 1, scratchMb: 10 };

const frameOf = (text: string): Buffer => {
  const frame = Buffer.alloc(4 + Buffer.byteLength(text));
  frame.writeUInt32BE(Buffer.byteLength(text));
  frame.write(text, 4);
  return frame;
};

/** A channel with what it told of, and the zygote's end of it. */
const channelTo = (answerMs = 10_000) => {
  const [near, far] = socketPair();
  const told: string[] = [];
  const over = deferred<void>();
  const end = (reason: string): void => {
    told.push(reason);
    over.resolve();
  };
  const events = {
    exit: (leaf: number, status: number) => {
      told.push(`exit ${leaf} ${status}`);
      return leaf === 1;
    },
    broken: end,
    closed: () => end("closed"),
  };
  far.on("error", () => undefined);
  far.resume();
  return { channel: new ControlChannel(near, events, answerMs), far, told, over: over.promise };
};

describe("the channel to a zygote", () => {
  it("hears answers and ends, also of several at once and in pieces", async () => {
    const { channel: asked, far, told } = channelTo();
    const answers = [asked.ask("fork", 1), asked.ask("measure", 2), asked.ask("measure", 2)];
    const data = Buffer.concat([
      frameOf('{"op":"exit","leaf":1,"status":9}'),
      frameOf('{"op":"measure","leaf":2,"bytes":5}'),
      frameOf('{"op":"fork","leaf":1,"error":"fork: no"}'),
    ]);
    far.write(data.subarray(0, 50));
    await new Promise(setImmediate);
    far.write(data.subarray(50));
    expect(await Promise.all(answers)).toEqual([{ error: "fork: no" }, { bytes: 5 }, { bytes: 5 }]);
    expect(told).toEqual(["exit 1 9"]);
    far.destroy();
  });

  it.each([
    ["what was not asked for", frameOf('{"op":"fork","leaf":2}'), /told what it was not asked/u],
    ["the end of nobody", frameOf('{"op":"exit","leaf":7,"status":0}'), /of a sandbox that is none/u],
    ["a status that is none", frameOf('{"op":"exit","leaf":1,"status":-1}'), /not asked/u],
    ["no JSON", frameOf("[[["), /sent what is no message/u],
    ["no object", frameOf("[1]"), /sent what is no message/u],
    ["more than it has to say", Buffer.from([0x7f, 0, 0, 0]), /a message of 2130706432 bytes/u],
  ])("that tells %s is broken, and what was asked fails", async (_what, data, reason) => {
    const { channel: asked, far, told, over } = channelTo();
    const failed = asked.ask("stop", 1);
    far.write(Buffer.concat([data, data]));
    await expect(failed).rejects.toMatchObject({ code: "OL_SANDBOX_CREATE_FAILED" });
    await over;
    expect(told.filter((each) => !each.startsWith("exit "))).toEqual([expect.stringMatching(reason)]);
    await expect(asked.ask("kill", 1)).rejects.toMatchObject({ code: "OL_SANDBOX_CREATE_FAILED" });
  });

  it("that does not answer in time is broken, and one that closes is closed", async () => {
    const silent = channelTo(20);
    await expect(silent.channel.ask("fork", 1)).rejects.toMatchObject({ code: "OL_SANDBOX_CREATE_FAILED" });
    await silent.over;
    expect(silent.told).toEqual(["its first process did not answer within 20 ms"]);
    const gone = channelTo();
    const failed = gone.channel.ask("fork", 1);
    gone.far.destroy();
    await expect(failed).rejects.toMatchObject({ code: "OL_SANDBOX_CREATE_FAILED" });
    await gone.over;
    expect(gone.told).toEqual(["closed"]);
  });
});

describe("what a shared container may use", () => {
  it("is what its sandboxes may, and something for the process that they are forked from", () => {
    expect(limitsOfAll(LIMITS, 3)).toEqual({
      ...LIMITS,
      memoryMb: 174,
      procs: 31,
      cpuPercent: 450,
      scratchMb: 30,
    });
  });

  it("follows their number, one change after the other, and those that are too late have no effect", async () => {
    let wanted = 1;
    const changes: number[] = [];
    const ends: (() => void)[] = [];
    const allowance = new Allowance(
      () => wanted,
      async (count) => {
        changes.push(count);
        await new Promise<void>((resolve) => ends.push(resolve));
      },
    );
    await allowance.suffice(1);
    wanted = 2;
    const second = allowance.suffice(2);
    wanted = 4;
    const fourth = allowance.suffice(4);
    expect(changes).toEqual([2]);
    ends.shift()?.();
    await second;
    await new Promise(setImmediate);
    expect(changes).toEqual([2, 4]);
    ends.shift()?.();
    await fourth;
    wanted = 1;
    const less = allowance.relent();
    ends.shift()?.();
    await less;
    expect([allowance.granted, changes]).toEqual([1, [2, 4, 1]]);
    // Somebody who is gone already.
    await allowance.suffice(9);
  });

  it("stays as it is when it cannot be changed, and those who need no more are not told", async () => {
    const allowance = new Allowance(
      () => 2,
      () => Promise.reject(new Error("refused")),
    );
    await expect(allowance.suffice(2)).rejects.toThrow("refused");
    await allowance.suffice(1);
    expect(allowance.granted).toBe(1);
  });

  it("is made larger though it could not be made smaller just before", async () => {
    let wanted = 3;
    let refuse: ((error: Error) => void) | undefined;
    const allowance = new Allowance(
      () => wanted,
      async (count) => {
        if (count === 1) await new Promise<void>((_, reject) => (refuse = reject));
      },
    );
    await allowance.suffice(3);
    wanted = 1;
    const less = allowance.relent();
    wanted = 4;
    const more = allowance.suffice(4);
    refuse?.(new Error("it holds more"));
    await expect(less).rejects.toThrow("it holds more");
    await more;
    expect(allowance.granted).toBe(4);
  });

  it("is told to Podman in the OCI's words", () => {
    const limits = { Memory: 5, MemorySwap: 5, PidsLimit: 3, CpuPeriod: 100_000, CpuQuota: 50_000 };
    expect(resourcesOf(limits)).toEqual({
      memory: { limit: 5, swap: 5 },
      pids: { limit: 3 },
      cpu: { quota: 50_000, period: 100_000 },
    });
    expect(resourcesOf({})).toEqual({});
  });
});

it("how often memory ran out is what the kernel counts, of either kind of control groups", () => {
  expect(memoryKillsIn("low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 0\n")).toBe(2);
  expect(memoryKillsIn("oom_kill_disable 0\nunder_oom 0\noom_kill 7\n")).toBe(7);
  expect(memoryKillsIn("oom_kill_disable 0\nunder_oom 0\n")).toBe(undefined);
});
