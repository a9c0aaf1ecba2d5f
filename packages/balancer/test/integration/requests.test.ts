import { describe, expect, it } from "vitest";

import { startBalancer } from "../wire/balancer.ts";
import { RawClient, valueOf } from "../wire/raw-client.ts";
import { fieldOf, plainReply, ScriptedWorker } from "../wire/scripted-worker.ts";

const head = (line: string, ...fields: string[]): string => [line, "Host: a", ...fields, "", ""].join("\r\n");
const ULID = /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/u;
const MIB = 1024 * 1024;

/** The fields of ours, in any spelling. */
const named = (fields: readonly (readonly [string, string])[]): string[] =>
  fields.map(([name]) => name.toLowerCase().replaceAll("_", "-")).filter((name) => name.startsWith("x-ol-"));

describe("a request for a lambda", () => {
  it("goes to a worker with its fields in their order, and comes back with the worker's", async () => {
    await using worker = await ScriptedWorker.start({
      request: (_, connection) =>
        connection.write(
          plainReply("hi", ["X-B: 1", "Set-Cookie: a=1", "x-a: \xe9", "Set-Cookie: b=2"], "418 Teapot"),
        ),
    });
    await using balancer = await startBalancer([worker]);
    using client = new RawClient(balancer.port);
    await client.send(
      `${head("POST /runLambda/x/p?q=1 HTTP/1.1", "X-B: \xe9", "x-a: 2", "Content-Length: 2")}hi`,
    );
    const reply = await client.reply();
    expect(reply).toMatchObject({ status: 418, body: "hi" });
    if (reply === "cut") throw new Error("unreachable");
    expect(reply.fields.slice(0, 5)).toEqual([
      ["X-B", "1"],
      ["Set-Cookie", "a=1"],
      ["x-a", "\xe9"],
      ["Set-Cookie", "b=2"],
      ["Content-Length", "2"],
    ]);
    const [seen] = worker.seen;
    expect(seen?.line).toBe("POST /runLambda/x/p?q=1 HTTP/1.1");
    expect(seen?.body).toBe("hi");
    const names = seen?.fields.map(([name]) => name.toLowerCase()) ?? [];
    expect(names.indexOf("x-b")).toBeLessThan(names.indexOf("x-a"));
    expect(fieldOf(seen!, "x-b")).toBe("\xe9");
    expect(fieldOf(seen!, "host")).toBe("a");
    expect(fieldOf(seen!, "x-ol-deadline-ms")).toMatch(/^\d+$/u);
    expect(fieldOf(seen!, "x-ol-invocation-id")).toMatch(ULID);
    expect(valueOf(reply, "x-ol-invocation-id")).toBe(fieldOf(seen!, "x-ol-invocation-id"));
  });

  it("says nothing in our name, and its reply neither", async () => {
    const ours = ["X-OL-Load: v=1", "x-ol-not-started: 1", "X-OL-Warm: v=1", "X-OL-Deadline-Ms: 5"];
    await using worker = await ScriptedWorker.start({
      request: (_, connection) => connection.write(plainReply("ok", [...ours, "X-OL-Anything: 1"])),
    });
    await using balancer = await startBalancer([worker]);
    using client = new RawClient(balancer.port);
    await client.send(
      head(
        "GET /run/x HTTP/1.1",
        ...ours,
        "X-OL-Invocation-Id: 01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "X_OL_Load: v=1",
      ),
    );
    const reply = await client.reply();
    if (reply === "cut") throw new Error("unreachable");
    expect(named(reply.fields)).toEqual(["x-ol-invocation-id"]);
    expect(named(worker.seen[0]!.fields)).toEqual(["x-ol-invocation-id", "x-ol-deadline-ms"]);
    expect(fieldOf(worker.seen[0]!, "x-ol-invocation-id")).not.toBe("01ARZ3NDEKTSV4RRFFQ69G5FAV");
    expect(fieldOf(worker.seen[0]!, "x-ol-deadline-ms")).not.toBe("5");
  });

  it.each([
    ["a Content-Length", 100],
    ["a Content-Length", 3 * MIB],
  ])("with %s of %i bytes comes there as it is", async (_, bytes) => {
    await using worker = await ScriptedWorker.start();
    await using balancer = await startBalancer([worker]);
    using client = new RawClient(balancer.port);
    const body = "\x00\xff\r\n".repeat(bytes / 4);
    await client.send(head("PUT /run/x HTTP/1.1", `Content-Length: ${bytes}`) + body);
    expect(await client.reply()).toMatchObject({ status: 200 });
    expect(worker.seen[0]?.body === body).toBe(true);
    expect(fieldOf(worker.seen[0]!, "content-length")).toBe(String(bytes));
    expect(balancer.server.keptBytes).toBe(0);
  });

  it.each([100, 3 * MIB])(
    "with a chunked body of %i bytes comes there whole, without its trailers",
    async (bytes) => {
      await using worker = await ScriptedWorker.start();
      await using balancer = await startBalancer([worker]);
      using client = new RawClient(balancer.port);
      await client.send(head("PATCH /run/x HTTP/1.1", "Transfer-Encoding: chunked", "Trailer: X-T"));
      for (let sent = 0; sent < bytes; sent += bytes / 4)
        await client.send(`${(bytes / 4).toString(16)};ext=1\r\n${"z".repeat(bytes / 4)}\r\n`);
      await client.send("0\r\nX-T: 1\r\n\r\n");
      expect(await client.reply()).toMatchObject({ status: 200 });
      expect(worker.seen[0]?.body === "z".repeat(bytes)).toBe(true);
      expect(worker.raw).not.toMatch(/x-t|ext=1/iu);
    },
  );

  it("is passed on as it comes when the memory for bodies is used up, and nothing of that is lost", async () => {
    await using worker = await ScriptedWorker.start();
    await using balancer = await startBalancer([worker], { limits: { maxKeptBytes: 1_000 } });
    const clients = Array.from({ length: 8 }, () => new RawClient(balancer.port));
    for (const client of clients)
      await client.send(head("POST /run/x HTTP/1.1", "Content-Length: 2000") + "a".repeat(500));
    // Two of them fill it; they and those that came after are sent to the worker before their bodies are there.
    await worker.until(() => worker.connections > 0);
    expect(balancer.server.keptBytes).toBeLessThan(8 * 500 + 1);
    for (const client of clients) await client.send("b".repeat(1_500));
    for (const client of clients) expect(await client.reply()).toMatchObject({ status: 200 });
    expect(worker.seen.map(({ body }) => body)).toEqual(
      clients.map(() => "a".repeat(500) + "b".repeat(1_500)),
    );
    for (const client of clients) client.leave();
    await expect.poll(() => balancer.server.keptBytes).toBe(0);
  });

  it("with a large body goes at the worker's pace", async () => {
    await using worker = await ScriptedWorker.start({ deaf: true, early: true, request: () => undefined });
    await using balancer = await startBalancer([worker]);
    using client = new RawClient(balancer.port);
    const megabytes = 64;
    void client.send(head("POST /run/x HTTP/1.1", `Content-Length: ${megabytes * MIB}`));
    let written = 0;
    for (let sent = 0; sent < megabytes; sent += 1)
      void client.send(Buffer.alloc(MIB)).then(() => (written += client.closed ? 0 : 1));
    await worker.until(() => worker.seen.length === 1);
    // It comes to a stop, with what the kernel's buffers on both sides hold.
    let before = -1;
    while (before !== written) {
      before = written;
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
    expect(written).toBeLessThan(megabytes / 2);
  });

  it("that waits for 100 Continue is told so, once", async () => {
    await using worker = await ScriptedWorker.start();
    await using balancer = await startBalancer([worker]);
    using client = new RawClient(balancer.port);
    await client.send(head("POST /run/x HTTP/1.1", "Content-Length: 5", "Expect: 100-continue"));
    expect(await client.head()).toMatchObject({ status: 100 });
    await client.send("hello");
    expect(await client.head()).toMatchObject({ status: 200 });
    expect(worker.seen[0]?.body).toBe("hello");
    expect(fieldOf(worker.seen[0]!, "expect")).toBeUndefined();
  });

  it("that waits for 100 Continue is not told so if nobody takes it, and the connection ends", async () => {
    await using balancer = await startBalancer([]);
    using client = new RawClient(balancer.port);
    await client.send(head("POST /run/x HTTP/1.1", "Content-Length: 5", "Expect: 100-continue"));
    expect(await client.head()).toMatchObject({ status: 503 });
    await client.toEnd();
  });

  it("that comes before the one in front of it is answered waits for that", async () => {
    const answers: (() => void)[] = [];
    await using worker = await ScriptedWorker.start({
      request: (seen, connection) => answers.push(() => connection.write(plainReply(seen.line))),
    });
    await using balancer = await startBalancer([worker]);
    using client = new RawClient(balancer.port);
    await client.send(
      head("POST /run/a HTTP/1.1", "Content-Length: 0") + head("POST /run/b HTTP/1.1", "Content-Length: 0"),
    );
    await worker.until(() => worker.seen.length === 1);
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(worker.seen.length).toBe(1);
    answers[0]?.();
    expect(await client.reply()).toMatchObject({ body: "POST /run/a HTTP/1.1" });
    await worker.until(() => worker.seen.length === 2);
    answers[1]?.();
    expect(await client.reply()).toMatchObject({ body: "POST /run/b HTTP/1.1" });
  });

  it("that waits for its turn on a connection that ends is never sent", async () => {
    await using worker = await ScriptedWorker.start({ request: () => undefined });
    await using balancer = await startBalancer([worker]);
    const client = new RawClient(balancer.port);
    await client.send(head("GET /run/a HTTP/1.1").repeat(5));
    await worker.until(() => worker.seen.length === 1);
    client.leave();
    await worker.until(() => worker.ended > 0);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(worker.seen.length).toBe(1);
    expect(balancer.server.open.size).toBe(0);
    expect(balancer.server.counters.outcomes.left).toBe(5);
  });

  it("of HTTP/1.0 is answered so that it can be read", async () => {
    await using worker = await ScriptedWorker.start({
      request: (_, connection) =>
        connection.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"),
    });
    await using balancer = await startBalancer([worker]);
    using client = new RawClient(balancer.port);
    await client.send("GET /run/x HTTP/1.0\r\n\r\n");
    const text = await client.toEnd();
    expect(text).toMatch(/^HTTP\/1\.1 200 OK\r\n/u);
    expect(text).not.toMatch(/chunked/iu);
    expect(text.endsWith("\r\n\r\nhi")).toBe(true);
  });

  it.each([
    [
      "Content-Length and Transfer-Encoding",
      400,
      "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
    ["two Content-Lengths", 400, "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}"],
    ["a Content-Length with a sign", 400, "Content-Length: +2\r\n\r\n{}"],
    ["a Content-Length that is a list", 400, "Content-Length: 2, 2\r\n\r\n{}"],
    ["chunked twice", 400, "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"],
    ["another coding before chunked", 501, "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"],
    ["another coding behind chunked", 400, "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"],
    ["a coding with a strange space", 400, "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"],
    ["a folded field", 400, "X-A: 1\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
    ["a bare line feed", 400, "X-A: 1\nX-B: 2\r\n\r\n"],
    ["a bare carriage return", 400, "X-A: 1\rX-B: 2\r\n\r\n"],
    ["a NUL in a field", 400, "X-A: 1\x002\r\n\r\n"],
    ["a chunk that is none", 400, "Transfer-Encoding: chunked\r\n\r\nzz\r\n"],
    ["a chunk size that is too large", 400, "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n"],
    ["a chunk longer than it says", 400, "Transfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n0\r\n\r\n"],
    ["a WebSocket", 501, "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: a\r\n\r\n"],
  ])("with %s is answered with %i, and no worker hears of it", async (_, status, rest) => {
    await using worker = await ScriptedWorker.start();
    await using balancer = await startBalancer([worker]);
    using client = new RawClient(balancer.port);
    await client.send(`POST /run/x HTTP/1.1\r\nHost: a\r\n${rest}`);
    expect(await client.reply()).toMatchObject({ status });
    expect(worker.seen).toEqual([]);
  });

  it.each([
    "/run/",
    "/run",
    "/run/-x",
    "/run/.x",
    "/run/x.tar.gz",
    "/run/%2e%2e%2fx",
    `/run/${"a".repeat(129)}`,
    "/run/a%00b",
  ])("for %s, which names no lambda, is 400", async (target) => {
    await using worker = await ScriptedWorker.start();
    await using balancer = await startBalancer([worker]);
    using client = new RawClient(balancer.port);
    await client.send(head(`GET ${target} HTTP/1.1`));
    expect(await client.reply()).toMatchObject({ status: 400 });
    expect(worker.connections).toBe(0);
  });

  it("with Upgrade to anything but a WebSocket is one like any other", async () => {
    await using worker = await ScriptedWorker.start();
    await using balancer = await startBalancer([worker]);
    using client = new RawClient(balancer.port);
    const offer = ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAA"];
    await client.send(head("GET /run/x HTTP/1.1", ...offer));
    expect(await client.reply()).toMatchObject({ status: 200 });
    for (const name of ["upgrade", "http2-settings"]) expect(fieldOf(worker.seen[0]!, name)).toBeUndefined();
  });

  it("CONNECT is 501", async () => {
    await using balancer = await startBalancer([]);
    using client = new RawClient(balancer.port);
    await client.send("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n");
    expect(await client.toEnd()).toMatch(/^HTTP\/1\.1 501 /u);
  });

  it("with a header of more than 16 KiB, or more than 100 fields, is 431", async () => {
    await using worker = await ScriptedWorker.start();
    await using balancer = await startBalancer([worker]);
    using large = new RawClient(balancer.port);
    await large.send(head("GET /run/x HTTP/1.1", `X-A: ${"a".repeat(17 * 1024)}`));
    expect(await large.reply()).toMatchObject({ status: 431 });
    using many = new RawClient(balancer.port);
    await many.send(head("GET /run/x HTTP/1.1", ...Array.from({ length: 100 }, (_, at) => `X-${at}: 1`)));
    expect(await many.reply()).toMatchObject({ status: 431 });
    using enough = new RawClient(balancer.port);
    await enough.send(head("GET /run/x HTTP/1.1", ...Array.from({ length: 99 }, (_, at) => `X-${at}: 1`)));
    expect(await enough.reply()).toMatchObject({ status: 200 });
    expect(worker.seen.length).toBe(1);
  });
});

describe("a request that the balancer refuses", () => {
  it("leaves its connection to the next one, unless some of it is still to come", async () => {
    await using worker = await ScriptedWorker.start();
    await using balancer = await startBalancer([worker]);
    const refused = head("GET /run/.no-name HTTP/1.1");
    using client = new RawClient(balancer.port);
    for (let round = 0; round < 3; round += 1) {
      await client.send(refused);
      expect(await client.reply()).toMatchObject({ status: 400 });
    }
    using half = new RawClient(balancer.port);
    await half.send(`${head("POST /run/.no-name HTTP/1.1", "Content-Length: 10")}half`);
    const reply = await half.reply();
    expect(reply).toMatchObject({ status: 400 });
    expect(reply === "cut" ? reply : valueOf(reply, "connection")).toBe("close");
    await half.toEnd();
  });
});

describe("what is behind a request on its connection", () => {
  it("does not harm it, if it is no HTTP", async () => {
    let answer: (() => void) | undefined;
    await using worker = await ScriptedWorker.start({
      request: (_, connection) => void (answer = () => connection.write(plainReply("ok"))),
    });
    await using balancer = await startBalancer([worker]);
    using client = new RawClient(balancer.port);
    await client.send(`${head("POST /run/x HTTP/1.1", "Content-Length: 2")}{}`);
    await worker.until(() => answer !== undefined);
    await client.send("what? no!\r\n\r\n");
    // For the bytes to get there.
    await new Promise((resolve) => setTimeout(resolve, 100));
    answer?.();
    expect(await client.reply()).toMatchObject({ status: 200, body: "ok" });
    expect(await client.toEnd()).toBe("");
  });
});
