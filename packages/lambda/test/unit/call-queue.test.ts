import { describe, expect, it } from "vitest";

import { CallQueue } from "../../src/call-queue.ts";
import { type CallOwner, PendingCall } from "../../src/pending-call.ts";
import { RecordingSink } from "../harness.ts";

const owned = (queue: CallQueue) => {
  const owner: CallOwner = {
    callDropped: () => queue.noteDropped(),
    replyUnread: () => true,
    replyRead: () => undefined,
  };
  return (id: string, deadlineMs = 0): PendingCall => {
    const http = { method: "POST", mount: "/run/f", path: "", query: "", client: "::1" };
    const request = { invocationId: id, body: Buffer.alloc(0), traceparent: "", rawHeaders: [], http };
    const call = new PendingCall(request, new RecordingSink(), owner, 0, deadlineMs);
    queue.push(call);
    return call;
  };
};

describe("the queue of calls", () => {
  it("gives them out in the order they came", () => {
    const queue = new CallQueue();
    const push = owned(queue);
    for (let id = 0; id < 200; id += 1) push(`${id}`);
    const order = Array.from({ length: 150 }, () => queue.shift()?.invocationId);
    push("200");
    while (queue.size > 0) order.push(queue.shift()?.invocationId);
    expect(order).toEqual(Array.from({ length: 201 }, (_, id) => `${id}`));
    expect(queue.shift()).toBeUndefined();
  });

  it("skips calls whose client is gone, and counts them out at once", () => {
    const queue = new CallQueue();
    const push = owned(queue);
    const [first, , third] = ["a", "b", "c", "d"].map((id) => push(id));
    first?.cancel();
    third?.cancel();
    expect(queue.size).toBe(2);
    expect([queue.shift(), queue.shift(), queue.shift()].map((call) => call?.invocationId)).toEqual([
      "b",
      "d",
      undefined,
    ]);
  });

  it("survives that nearly all of a long line leave", () => {
    const queue = new CallQueue();
    const push = owned(queue);
    const calls = Array.from({ length: 1_000 }, (_, id) => push(`${id}`));
    for (const call of calls) if (call.invocationId !== "777") call.cancel();
    expect(queue.size).toBe(1);
    expect(queue.shift()?.invocationId).toBe("777");
  });

  it("gives up all that waits, and nothing else", () => {
    const queue = new CallQueue();
    const push = owned(queue);
    push("a").cancel();
    push("b");
    expect(queue.takeAll(() => true).map((call) => call.invocationId)).toEqual(["b"]);
    expect(queue.size).toBe(0);
  });

  it("gives up those that are asked for, and knows the first deadline of the others", () => {
    const queue = new CallQueue();
    const push = owned(queue);
    push("a", 30);
    push("b", 10);
    push("c", 20);
    expect(queue.soonestMs).toBe(10);
    expect(queue.takeAll((call) => call.deadlineMs <= 10).map((call) => call.invocationId)).toEqual(["b"]);
    expect(queue.soonestMs).toBe(20);
    expect([queue.shift(), queue.shift()].map((call) => call?.invocationId)).toEqual(["a", "c"]);
  });
});
