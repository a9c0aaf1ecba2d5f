import { describe, expect, it, onTestFinished } from "vitest";

import { LAMBDA_CHANNELS, type LambdaChannels, onLambdaChannel, type QueueRefused } from "../../src/index.ts";
import { makeRig, resultOf } from "../harness.ts";

type Heard = { [Name in keyof LambdaChannels]: [Name, LambdaChannels[Name]] }[keyof LambdaChannels];

const listen = (names: readonly (keyof LambdaChannels)[]): Heard[] => {
  const heard: Heard[] = [];
  for (const name of names)
    onTestFinished(onLambdaChannel(name, (message) => void heard.push([name, message] as Heard)));
  return heard;
};

const CALLS = ["ol:queue:enter", "ol:queue:leave", "ol:call:start", "ol:call:end"] as const;

describe("the channels of a manager", () => {
  it("tell the way of a call: into the queue, out of it, into a sandbox, and its end", async () => {
    const heard = listen(CALLS);
    const rig = makeRig({ code: { hello: { call: () => 1 } } });
    await rig.result("hello");
    await rig.result("hello");
    expect(heard.map(([name]) => name)).toEqual([...CALLS, ...CALLS]);
    const [sandbox] = rig.pool.sandboxes();
    const about = { lambda: "hello", invocationId: "call-1" };
    expect(heard[0]?.[1]).toEqual({ ...about, queued: 1, queuedByAll: 1, again: false });
    expect(heard[2]?.[1]).toEqual({ ...about, sandbox: sandbox?.id, cold: true, inFlight: 1 });
    expect(heard[3]?.[1]).toMatchObject({
      ...about,
      sandbox: sandbox?.id,
      outcome: "answered",
      phases: { runMs: expect.any(Number) },
    });
    expect(heard[6]?.[1]).toMatchObject({ invocationId: "call-2", cold: false });
  });

  it("tell calls that are refused, at once or later, and those whose client left", async () => {
    const heard = listen(["ol:queue:refuse", "ol:queue:drop"]);
    const rig = makeRig({
      code: { slow: { call: () => new Promise((resolve) => setTimeout(() => resolve(1), 200)) } },
      slots: 1,
      maxQueuedPerFunction: 2,
    });
    expect(await rig.result("nobody")).toBe("OL_LAMBDA_UNKNOWN");
    const first = rig.call("slow");
    await expect.poll(() => rig.manager.load().busy).toBe(1);
    const late = rig.call("slow", {}, 20);
    const left = rig.call("slow");
    left.invocation.cancel();
    const waiting = rig.call("slow");
    expect(resultOf(await rig.call("slow").outcome)).toBe("OL_LAMBDA_QUEUE_FULL");
    expect(resultOf(await late.outcome)).toBe("OL_LAMBDA_QUEUE_TIMEOUT");
    await Promise.all([first.outcome, waiting.outcome]);
    const told = heard.map(([name, message]) => {
      const { invocationId, code } = message as Partial<QueueRefused>;
      return [name, invocationId, code];
    });
    expect(told).toEqual([
      ["ol:queue:refuse", "call-1", "OL_LAMBDA_UNKNOWN"],
      ["ol:queue:drop", "call-4", undefined],
      ["ol:queue:refuse", "call-6", "OL_LAMBDA_QUEUE_FULL"],
      ["ol:queue:refuse", "call-3", "OL_LAMBDA_QUEUE_TIMEOUT"],
    ]);
  });

  it("tell how a call ended that was cut short", async () => {
    const heard = listen(["ol:call:end"]);
    const rig = makeRig();
    rig.source.lambdas.set("exit", { dir: "exit" });
    expect(await rig.result("exit", 3)).toBe("OL_SANDBOX_EXITED");
    expect(heard.map(([, message]) => message)).toMatchObject([
      { lambda: "exit", outcome: "cut", code: "OL_SANDBOX_EXITED" },
    ]);
  });

  it("tell what an autoscaler was asked and said", async () => {
    const heard = listen(["ol:scale:grow"]);
    const rig = makeRig({ code: { hello: { call: () => 1 } } });
    await rig.result("hello");
    expect(heard[0]?.[1]).toMatchObject({ lambda: "hello", snapshot: { queued: 1, live: 0 }, desired: 1 });
  });

  it("are those that are documented, each with a name of its own", () => {
    expect(new Set(LAMBDA_CHANNELS).size).toBe(LAMBDA_CHANNELS.length);
    for (const name of LAMBDA_CHANNELS) expect(name).toMatch(/^ol:[a-z]+:[a-z]+$/);
  });
});
