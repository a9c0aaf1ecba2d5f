import { freePorts } from "@ol/common";
import { describe, expect, it } from "vitest";

import { startBalancer } from "../wire/balancer.ts";
import { RawClient, valueOf } from "../wire/raw-client.ts";
import { fieldOf, plainReply, type Script, ScriptedWorker } from "../wire/scripted-worker.ts";

const head = (line: string, ...fields: string[]): string => [line, "Host: a", ...fields, "", ""].join("\r\n");
const post = (body: string): string => head("POST /run/x HTTP/1.1", `Content-Length: ${body.length}`) + body;

const says = (text: string, ...fields: string[]): Script => ({
  request: (_, connection) => connection.write(plainReply(text, fields)),
});
const NOT_STARTED: Script = {
  request: (_, connection) =>
    connection.write(
      plainReply("full", ["X-OL-Not-Started: 1", "Retry-After: 7"], "503 Service Unavailable"),
    ),
};
const RESETS: Script = { request: (_, connection) => connection.reset() };

/** The URL of a worker that is not there. */
const goneWorker = async (): Promise<{ url: string }> => ({ url: `http://127.0.0.1:${await freePorts()}` });

describe("a call that certainly was not begun", () => {
  it.each([100, 200_000])(
    "since nobody listens goes to another worker, with its body of %i bytes",
    async (bytes) => {
      const gone = await goneWorker();
      await using worker = await ScriptedWorker.start(says("second"));
      await using balancer = await startBalancer([gone, worker]);
      using client = new RawClient(balancer.port);
      const body = "b".repeat(bytes);
      await client.send(post(body));
      expect(await client.reply()).toMatchObject({ status: 200, body: "second" });
      expect(worker.seen.map((seen) => seen.body === body)).toEqual([true]);
      expect(balancer.server.counters.retries).toBe(1);
      expect(balancer.server.counters.failures.connect).toBe(1);
    },
  );

  it("since nobody listens goes to another worker, with a body in chunks that is still coming", async () => {
    const gone = await goneWorker();
    await using worker = await ScriptedWorker.start(says("second"));
    await using balancer = await startBalancer([gone, worker]);
    using client = new RawClient(balancer.port);
    await client.send(head("POST /run/x HTTP/1.1", "Transfer-Encoding: chunked"));
    const piece = "c".repeat(0x8000);
    for (let sent = 0; sent < 5; sent += 1) await client.send(`8000\r\n${piece}\r\n`);
    await client.send("0\r\n\r\n");
    expect(await client.reply()).toMatchObject({ status: 200, body: "second" });
    expect(worker.seen[0]?.body === piece.repeat(5)).toBe(true);
  });

  it.each(["POST", "GET", "HEAD", "DELETE"])("as its worker says goes to another one: %s", async (method) => {
    await using full = await ScriptedWorker.start(NOT_STARTED);
    await using worker = await ScriptedWorker.start(says("second"));
    await using balancer = await startBalancer([full, worker]);
    using client = new RawClient(balancer.port);
    const body = method === "POST" || method === "DELETE" ? "{}" : "";
    await client.send(head(`${method} /run/x HTTP/1.1`, `Content-Length: ${body.length}`) + body);
    const reply = await client.reply(method);
    expect(reply).toMatchObject({ status: 200 });
    expect(worker.seen.map((seen) => seen.body)).toEqual([body]);
    // It is the same call.
    expect(fieldOf(worker.seen[0]!, "x-ol-invocation-id")).toBe(fieldOf(full.seen[0]!, "x-ol-invocation-id"));
    expect(balancer.server.counters).toMatchObject({ retries: 1, failures: { "not-started": 1 } });
  });

  it("uses the connection of the one that refused it again", async () => {
    await using full = await ScriptedWorker.start(NOT_STARTED);
    await using worker = await ScriptedWorker.start(says("second"));
    await using balancer = await startBalancer([full, worker]);
    using client = new RawClient(balancer.port);
    for (let round = 0; round < 6; round += 1) {
      await client.send(post("{}"));
      expect(await client.reply()).toMatchObject({ body: "second" });
    }
    expect(full.seen.length).toBeGreaterThan(1);
    expect(full.connections).toBe(1);
  });

  it("is tried on three workers, and then the last one's words are passed on", async () => {
    const workers = await Promise.all([1, 2, 3, 4, 5].map(() => ScriptedWorker.start(NOT_STARTED)));
    await using balancer = await startBalancer(workers);
    using client = new RawClient(balancer.port);
    await client.send(post("{}"));
    const reply = await client.reply();
    expect(reply).toMatchObject({ status: 503, body: "full" });
    expect(reply === "cut" ? reply : valueOf(reply, "retry-after")).toBe("7");
    expect(workers.filter(({ seen }) => seen.length > 0).length).toBe(3);
    await Promise.all(workers.map((worker) => worker[Symbol.asyncDispose]()));
  });

  it("is refused with 503 and the reason if no worker can be reached", async () => {
    await using balancer = await startBalancer([await goneWorker()]);
    using client = new RawClient(balancer.port);
    await client.send(post("{}"));
    const reply = await client.reply();
    expect(reply).toMatchObject({ status: 503, body: expect.stringContaining("it was not run") });
    if (reply === "cut") throw new Error("unreachable");
    expect(valueOf(reply, "x-ol-not-started")).toBe("1");
    expect(valueOf(reply, "retry-after")).toBe("1");
  });

  it("is not repeated with a body that is not kept", async () => {
    await using full = await ScriptedWorker.start(NOT_STARTED);
    await using worker = await ScriptedWorker.start(says("second"));
    await using balancer = await startBalancer([full, worker]);
    using client = new RawClient(balancer.port);
    await client.send(post("d".repeat(1 << 20)));
    expect(await client.reply()).toMatchObject({ status: 503, body: "full" });
    expect(worker.seen).toEqual([]);
  });

  it("whose worker dies while it says so goes to another one", async () => {
    await using full = await ScriptedWorker.start({
      request: (_, connection) => {
        connection.write("HTTP/1.1 503 No\r\nX-OL-Not-Started: 1\r\nContent-Length: 10\r\n\r\nha");
        setTimeout(() => connection.reset(), 20);
      },
    });
    await using worker = await ScriptedWorker.start(says("second"));
    await using balancer = await startBalancer([full, worker]);
    using client = new RawClient(balancer.port);
    await client.send(post("{}"));
    expect(await client.reply()).toMatchObject({ status: 200, body: "second" });
  });
});

describe("a call that may have been begun", () => {
  it.each(["POST", "GET", "HEAD"])("is never repeated: %s", async (method) => {
    await using dying = await ScriptedWorker.start(RESETS);
    await using worker = await ScriptedWorker.start(says("second"));
    await using balancer = await startBalancer([dying, worker]);
    using client = new RawClient(balancer.port);
    await client.send(head(`${method} /run/x HTTP/1.1`, "Content-Length: 0"));
    const reply = await client.reply(method);
    expect(reply).toMatchObject({ status: 502 });
    expect(reply === "cut" ? reply : valueOf(reply, "x-ol-not-started")).toBeUndefined();
    expect([dying.seen.length, worker.seen.length]).toEqual([1, 0]);
  });

  it.each([
    ["GET", 200, 1],
    ["POST", 502, 0],
  ])("with retry_idempotent is repeated if it is GET: %s", async (method, status, seen) => {
    await using dying = await ScriptedWorker.start(RESETS);
    await using worker = await ScriptedWorker.start(says("second"));
    await using balancer = await startBalancer([dying, worker], {}, { retryIdempotent: true });
    using client = new RawClient(balancer.port);
    await client.send(head(`${method} /run/x HTTP/1.1`, "Content-Length: 0"));
    expect(await client.reply()).toMatchObject({ status });
    expect(worker.seen.length).toBe(seen);
  });

  it("and got a 503 that does not say otherwise has that for its reply", async () => {
    const busy: Script = {
      request: (_, connection) => connection.write(plainReply("mine", [], "503 Service Unavailable")),
    };
    await using worker = await ScriptedWorker.start(busy);
    await using other = await ScriptedWorker.start(says("second"));
    await using balancer = await startBalancer([worker, other]);
    using client = new RawClient(balancer.port);
    await client.send(post("{}"));
    expect(await client.reply()).toMatchObject({ status: 503, body: "mine" });
    expect(other.seen).toEqual([]);
  });

  it("is sent as often as it is answered, with 300 calls to workers that fail at random", async () => {
    // A linear congruential generator: the same run each time.
    let state = 12_345;
    const roll = (): number => (state = (state * 1_103_515_245 + 12_345) % 2_147_483_648) / 2_147_483_648;
    const executed = new Map<string, number>();
    const moody: Script = {
      request: (seen, connection) => {
        const mood = roll();
        if (mood < 0.15) {
          connection.write(plainReply("", ["X-OL-Not-Started: 1"], "503 No"));
          return;
        }
        executed.set(seen.body, (executed.get(seen.body) ?? 0) + 1);
        if (mood < 0.3) connection.reset();
        else if (mood < 0.35) connection.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
        else connection.write(plainReply(seen.body));
        if (mood < 0.35) connection.end();
      },
    };
    await using one = await ScriptedWorker.start(moody);
    await using two = await ScriptedWorker.start(moody);
    await using three = await ScriptedWorker.start(moody);
    await using balancer = await startBalancer([one, two, three]);
    const outcomes = await Promise.all(
      Array.from({ length: 300 }, async (_, at) => {
        using client = new RawClient(balancer.port);
        await client.send(post(`call ${at}`));
        const reply = await client.reply();
        if (reply === "cut") return reply;
        return reply.status === 200 && reply.body !== `call ${at}` ? "another's reply" : reply.status;
      }),
    );
    expect(outcomes.length).toBe(300);
    expect(Math.max(...executed.values())).toBe(1);
    expect(outcomes.filter((outcome) => outcome === 200).length).toBeGreaterThan(0);
    for (const outcome of outcomes) expect([200, 502, 503, "cut"]).toContain(outcome);
    expect(balancer.dispatcher.snapshot()).toMatchObject({ live: 0, waiting: 0 });
    for (const { inFlight } of balancer.dispatcher.snapshot().workers) expect(inFlight).toBe(0);
  });
});
