import { expect, it } from "vitest";

import { startBalancer } from "../wire/balancer.ts";
import { RawClient } from "../wire/raw-client.ts";
import {
  type Connection,
  fieldOf,
  plainReply,
  type SeenRequest,
  ScriptedWorker,
} from "../wire/scripted-worker.ts";

const CALLS = process.env["OL_TEST_SOAK"] === "1" ? 50_000 : 1_000;
const AT_ONCE = 16;
const SEED = Number(process.env["OL_TEST_SEED"] ?? "1");

/** A linear congruential generator: numbers from 0 to 1, the same for the same seed. */
const dice = (seed: number): (() => number) => {
  let state = seed;
  return () => (state = (state * 1_103_515_245 + 12_345) % 2_147_483_648) / 2_147_483_648;
};

const waited = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** One of them, at random. */
const oneOf = <Value>(roll: () => number, values: readonly Value[]): Value =>
  values[Math.floor(roll() * values.length)] as Value;

/** What a worker does with a request: the reply holds the request's id, so that nobody can take it for his by mistake. */
const misbehave = (roll: () => number, seen: SeenRequest, connection: Connection): void => {
  const id = fieldOf(seen, "x-test") ?? "";
  const whole = oneOf(roll, [
    plainReply(id),
    plainReply(`${id}\n${"p".repeat(200_000)}`),
    `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${id.length.toString(16)}\r\n${id}\r\n0\r\n\r\n`,
    plainReply(id, ["Connection: close"]),
  ]);
  // Three failures in a row, and the worker is left alone for a second.
  if (roll() < 0.6) {
    connection.write(whole);
    return;
  }
  const act = oneOf(roll, [
    () => void setTimeout(() => connection.write(whole), 20 * roll()),
    () => connection.write(plainReply("full", ["X-OL-Not-Started: 1"], "503 No")),
    () => connection.write(`${whole}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil`),
    () => connection.write("garbage\r\n\r\n"),
    () => connection.reset(),
    () => connection.end(),
    () =>
      void connection.socket.write(whole.slice(0, whole.length * roll()), "latin1", () => connection.reset()),
    () =>
      void connection.socket.write(whole.slice(0, whole.length * roll()), "latin1", () => connection.end()),
    () => undefined,
  ]);
  act();
};

it(`with ${CALLS} calls between clients and workers that do anything, each gets its own reply or none, once`, async () => {
  const roll = dice(SEED);
  const times = new Map<string, number>();
  const request = (seen: SeenRequest, connection: Connection): void => {
    const id = fieldOf(seen, "x-test") ?? "";
    times.set(id, (times.get(id) ?? 0) + 1);
    misbehave(roll, seen, connection);
  };
  await using early = await ScriptedWorker.start({ request, early: true });
  await using one = await ScriptedWorker.start({ request });
  await using two = await ScriptedWorker.start({ request });
  await using balancer = await startBalancer([early, one, two], {
    limits: { idleMs: 1_500, bodyIdleMs: 20_000, connectMs: 500 },
    trustedProxies: ["127.0.0.1"],
  });

  const call = async (at: number): Promise<string> => {
    using client = new RawClient(balancer.port);
    const id = `call-${at}-`;
    const bytes = oneOf(roll, [0, 10, 1_000, 70_000, 300_000]);
    const chunked = bytes > 0 && roll() < 0.4;
    const fields = [
      `X-Test: ${id}`,
      "X-OL-Deadline-Ms: 2000",
      ...(chunked ? ["Transfer-Encoding: chunked"] : [`Content-Length: ${bytes}`]),
      ...(roll() < 0.1 ? ["Expect: 100-continue"] : []),
    ];
    const body = "b".repeat(bytes);
    const bodyText = chunked ? `${bytes.toString(16)}\r\n${body}\r\n0\r\n\r\n` : body;
    const text = `${["POST /run/x HTTP/1.1", "Host: a", ...fields, "", ""].join("\r\n")}${bodyText}`;
    const leaveAt = roll() < 0.2 ? Math.floor(text.length * roll()) : undefined;
    for (let sent = 0; sent < (leaveAt ?? text.length);) {
      const piece = Math.ceil((text.length - sent) * roll()) + 1;
      await client.send(text.slice(sent, Math.min(sent + piece, leaveAt ?? text.length)));
      sent += piece;
      if (roll() < 0.3) await waited(5 * roll());
    }
    if (leaveAt !== undefined) return "left";
    if (roll() < 0.1) {
      await waited(20 * roll());
      return "left";
    }
    const reply = await client.reply("POST");
    if (reply === "cut") return "cut";
    if (reply.status === 200)
      return reply.body.startsWith(id) ? "replied" : `WRONG: ${reply.body.slice(0, 100)}`;
    return String(reply.status);
  };

  const outcomes = new Map<string, number>();
  let next = 0;
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      while (next < CALLS) {
        next += 1;
        const outcome = await call(next);
        outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
      }
    }),
  );
  const allowed = ["replied", "left", "cut", "502", "503", "504"];
  expect([...outcomes.keys()].filter((outcome) => !allowed.includes(outcome))).toEqual([]);
  // Most on a quiet machine; on a busy one more of them are too late.
  expect(outcomes.get("replied")).toBeGreaterThan(CALLS / 20);
  await expect.poll(() => balancer.server.open.size, { timeout: 20_000 }).toBe(0);
  expect(balancer.dispatcher.snapshot()).toMatchObject({ live: 0, waiting: 0 });
  expect(balancer.server.keptBytes).toBe(0);
  const { outcomes: counted } = balancer.server.counters;
  expect(Object.values(counted).reduce((sum, count) => sum + count, 0)).toBeLessThanOrEqual(CALLS);
  // A request that a worker said it did not start may come again, to another one: at most twice.
  expect(Math.max(...times.values())).toBeLessThanOrEqual(3);
}, 600_000);
