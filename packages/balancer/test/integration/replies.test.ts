import { describe, expect, it } from "vitest";

import { startBalancer } from "../wire/balancer.ts";
import { RawClient, valueOf } from "../wire/raw-client.ts";
import { type Connection, plainReply, type Script, ScriptedWorker } from "../wire/scripted-worker.ts";

const head = (line: string, ...fields: string[]): string => [line, "Host: a", ...fields, "", ""].join("\r\n");
const GET = head("GET /run/x HTTP/1.1");
const writes = (text: string): Script => ({ request: (_, connection) => connection.write(text) });
const chunked = (...pieces: string[]): string =>
  `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${pieces.map((piece) => `${piece.length.toString(16)}\r\n${piece}\r\n`).join("")}`;

/** Sends a request and leaves the reply to `answer`, which has both ends: the worker's and the client's. */
const answeredByHand = async (
  answer: (connection: Connection, client: RawClient) => Promise<void>,
): Promise<void> => {
  const connections: Connection[] = [];
  await using worker = await ScriptedWorker.start({ request: (_, its) => void connections.push(its) });
  await using balancer = await startBalancer([worker]);
  using client = new RawClient(balancer.port);
  await client.send(GET);
  await worker.until(() => connections.length === 1);
  await answer(connections[0]!, client);
};

describe("a worker's reply", () => {
  it.each([
    ["in chunks", `${chunked("hello", "world")}0\r\n\r\n`, "helloworld"],
    ["in chunks with trailers, which are dropped", `${chunked("hello")}0\r\nX-T: 1\r\n\r\n`, "hello"],
    ["with a length", plainReply("hello"), "hello"],
    ["with nothing in it", plainReply(""), ""],
    ["after an interim one", `HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n${plainReply("hello")}`, "hello"],
    ["with a reason of its own", plainReply("hello", [], "200 F\xefne"), "hello"],
    ["with bytes of all kinds", plainReply("\x00\r\n\r\n\xff"), "\x00\r\n\r\n\xff"],
  ])("%s comes back", async (_, bytes, body) => {
    await using worker = await ScriptedWorker.start(writes(bytes));
    await using balancer = await startBalancer([worker]);
    using client = new RawClient(balancer.port);
    for (let round = 0; round < 3; round += 1) {
      await client.send(GET);
      const reply = await client.reply();
      expect(reply).toMatchObject({ status: 200, body });
      const names = reply === "cut" ? [] : reply.fields.map(([name]) => name);
      expect(names).not.toEqual(expect.arrayContaining([expect.stringMatching(/^(X-T|Link)$/u)]));
    }
    // Of the same connection.
    expect(worker.connections).toBe(1);
  });

  it("that ends with its connection comes back whole", async () => {
    await using worker = await ScriptedWorker.start({
      request: (_, connection) => {
        connection.write("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello");
        setTimeout(() => connection.end(), 50);
      },
    });
    await using balancer = await startBalancer([worker]);
    using client = new RawClient(balancer.port);
    await client.send(GET);
    expect(await client.reply()).toMatchObject({ status: 200, body: "hello" });
  });

  it.each(["204 No Content", "304 Not Modified"])(
    "of %s has no body, and the next one is read right",
    async (status) => {
      await using worker = await ScriptedWorker.start(writes(`HTTP/1.1 ${status}\r\nX-A: 1\r\n\r\n`));
      await using balancer = await startBalancer([worker]);
      using client = new RawClient(balancer.port);
      for (let round = 0; round < 2; round += 1) {
        await client.send(GET);
        expect(await client.reply()).toMatchObject({ status: Number(status.slice(0, 3)), body: "" });
      }
    },
  );

  it("to HEAD has the length that it would have, and no body", async () => {
    await using worker = await ScriptedWorker.start(
      writes("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"),
    );
    await using balancer = await startBalancer([worker]);
    using client = new RawClient(balancer.port);
    for (let round = 0; round < 2; round += 1) {
      await client.send(head("HEAD /run/x HTTP/1.1"));
      const reply = await client.reply("HEAD");
      expect(reply === "cut" ? reply : valueOf(reply, "content-length")).toBe("1000");
    }
    expect(client.text).toBe("");
  });

  it("that comes piece by piece is passed on piece by piece, its head first", async () => {
    await answeredByHand(async (connection, client) => {
      connection.write(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
      );
      expect(await client.head()).toMatchObject({ status: 200 });
      for (const event of ["data: 1\n\n", "data: 2\n\n"]) {
        connection.write(`${event.length.toString(16)}\r\n${event}\r\n`);
        await client.until(() => client.text.endsWith(`${event}\r\n`));
      }
    });
  });

  it("whose body comes long after its head has its head passed on at once, also with a length", async () => {
    await answeredByHand(async (connection, client) => {
      connection.write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
      await client.until(() => client.text.endsWith("\r\n\r\n"));
      connection.write("he");
      await client.until(() => client.text.endsWith("he"));
      connection.write("llo");
      expect(await client.reply()).toMatchObject({ body: "hello" });
    });
  });

  it("that comes before the request is there reaches the client, which may send the rest", async () => {
    await using worker = await ScriptedWorker.start({
      early: true,
      request: (_, connection) => connection.write(plainReply("too large", [], "413 Payload Too Large")),
    });
    await using balancer = await startBalancer([worker]);
    using client = new RawClient(balancer.port);
    await client.send(head("POST /run/x HTTP/1.1", `Content-Length: ${1 << 20}`) + "a".repeat(1 << 17));
    expect(await client.reply()).toMatchObject({ status: 413, body: "too large" });
    await client.send("a".repeat((1 << 20) - (1 << 17)));
    worker.script = {};
    await client.send(GET);
    expect(await client.reply()).toMatchObject({ status: 200, body: "ok" });
  });

  it("that comes before the request is there does not leave a client sending for ever", async () => {
    await using worker = await ScriptedWorker.start({
      early: true,
      request: (_, connection) => connection.write(plainReply("no", [], "413 Payload Too Large")),
    });
    await using balancer = await startBalancer([worker]);
    using client = new RawClient(balancer.port);
    await client.send(head("POST /run/x HTTP/1.1", `Content-Length: ${1 << 30}`) + "a".repeat(1 << 17));
    expect(await client.reply()).toMatchObject({ status: 413 });
    await client.toEnd();
  });

  it("of more bytes than it says is cut off there, and the connection is not used again", async () => {
    await using worker = await ScriptedWorker.start(
      writes(`${plainReply("hello")}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil`),
    );
    await using balancer = await startBalancer([worker]);
    using client = new RawClient(balancer.port);
    for (let round = 1; round <= 3; round += 1) {
      await client.send(GET);
      expect(await client.reply()).toMatchObject({ status: 200, body: "hello" });
      expect(worker.connections).toBe(round);
    }
  });

  it("that is said unasked, on an idle connection, answers nobody", async () => {
    await using worker = await ScriptedWorker.start();
    await using balancer = await startBalancer([worker]);
    using client = new RawClient(balancer.port);
    await client.send(GET);
    expect(await client.reply()).toMatchObject({ body: "ok" });
    for (const socket of worker.sockets) socket.write(plainReply("evil"));
    await worker.until(() => worker.ended > 0);
    await client.send(GET);
    expect(await client.reply()).toMatchObject({ body: "ok" });
  });

  const WHOLE = `HTTP/1.1 200 OK\r\nX-A: 1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`;
  it("that ends after any of its bytes, by a reset or not, is never taken for a whole one, nor asked for again", async () => {
    let cut = 0;
    let how: "reset" | "end" = "reset";
    await using worker = await ScriptedWorker.start({
      request: (_, connection) => {
        connection.socket.write(WHOLE.slice(0, cut), "latin1", () => connection[how]());
      },
    });
    const bodyAt = WHOLE.indexOf("\r\n\r\n") + 4;
    let sent = 0;
    for (how of ["reset", "end"] as const)
      for (cut = 0; cut < WHOLE.length; cut += 1) {
        // A worker that fails again and again is not asked again.
        await using balancer = await startBalancer([worker]);
        using client = new RawClient(balancer.port);
        await client.send(head("POST /run/x HTTP/1.1", "Content-Length: 2") + "{}");
        sent += 1;
        const reply = await client.reply();
        // Once the head is there, or a reset has overtaken it, and not before.
        const mayBe = cut < bodyAt ? [502] : how === "reset" ? ["cut", 502] : ["cut"];
        expect(mayBe).toContain(reply === "cut" ? reply : reply.status);
        expect(client.text).not.toMatch(/HTTP/u);
        expect(balancer.dispatcher.snapshot().live).toBe(0);
      }
    expect(worker.seen.length).toBe(sent);
  });

  it.each([
    ["no HTTP at all", "hello\r\n\r\n"],
    ["two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc"],
    [
      "a length and chunks",
      "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
    ["a status that is none", "HTTP/1.1 2000 OK\r\n\r\n"],
    ["a field with a line feed in it", "HTTP/1.1 200 OK\r\nX-A: 1\nX-B: 2\x00\r\n\r\n"],
    [
      "an upgrade that nobody asked for",
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    ],
    ["a head without end", `HTTP/1.1 200 OK\r\nX-A: ${"a".repeat(128 * 1024)}`],
  ])("with %s is 502", async (_, bytes) => {
    await using worker = await ScriptedWorker.start(writes(bytes));
    await using balancer = await startBalancer([worker]);
    using client = new RawClient(balancer.port);
    await client.send(GET);
    expect(await client.reply()).toMatchObject({ status: 502 });
    expect(worker.seen.length).toBe(1);
  });

  it("with chunks that go wrong in the middle is broken off", async () => {
    await using worker = await ScriptedWorker.start(writes(`${chunked("hello")}zz\r\n`));
    await using balancer = await startBalancer([worker]);
    using client = new RawClient(balancer.port);
    await client.send(GET);
    expect(await client.reply()).toBe("cut");
  });

  it("that a client does not read does not come either", async () => {
    let written = 0;
    await using worker = await ScriptedWorker.start({
      request: (_, connection) => {
        const piece = "a".repeat(1 << 16);
        connection.write(`HTTP/1.1 200 OK\r\nContent-Length: ${piece.length * 1024}\r\n\r\n`);
        const more = (): void => {
          while (written < 1024 && connection.socket.write(piece)) written += 1;
        };
        connection.socket.on("drain", () => {
          written += 1;
          more();
        });
        more();
      },
    });
    await using balancer = await startBalancer([worker]);
    using client = new RawClient(balancer.port);
    client.pause();
    await client.send(GET);
    let before = -1;
    while (before !== written) {
      before = written;
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
    expect(written).toBeLessThan(512);
    client.resume();
    const reply = await client.reply();
    expect(reply === "cut" ? 0 : reply.body.length).toBe(1 << 26);
  });
});
