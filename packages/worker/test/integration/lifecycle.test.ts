import { createServer, type Server } from "node:http";
import { type AddressInfo, type Socket, connect } from "node:net";
import { once } from "node:events";

import type { FakeCode } from "@ol/sandbox/testing";
import { describe, expect, it, onTestFinished, vi } from "vitest";

import { fakeWorker } from "../http/fake-worker.ts";
import { parseReply, rawExchange } from "../http/clients.ts";
import { RawConnection } from "../http/raw-connection.ts";

/** A function that ends when it is told to. */
const gate = () => {
  const waiting: (() => void)[] = [];
  return {
    code: { call: () => new Promise<string>((resolve) => waiting.push(() => resolve("done"))) },
    started: () => waiting.length,
    open: () => waiting.splice(0).forEach((release) => release()),
  };
};

interface Listening {
  readonly socket: Socket;
  readonly received: Buffer[];
  /** Settles at the end of the connection; fails if it was reset. */
  readonly ended: Promise<unknown>;
}

const listening = (socket: Socket): Listening => {
  const received: Buffer[] = [];
  socket.on("data", (data) => received.push(data));
  const ended = once(socket, "close");
  ended.catch(() => undefined);
  return { socket, received, ended };
};

const callOf = (path: string, body: Buffer): Buffer =>
  Buffer.concat([
    Buffer.from(`POST ${path} HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n`),
    body,
  ]);

/** A connection on which one call was answered, and nothing more is expected. */
const idleConnection = async (port: number, path: string): Promise<Listening> => {
  const one = listening(connect({ port, host: "127.0.0.1" }));
  one.socket.write(callOf(path, Buffer.from("{}")));
  await expect.poll(() => one.received.length).toBe(1);
  one.received.length = 0;
  return one;
};

describe("a worker that is closed", () => {
  it("finishes what runs, refuses what comes, and says that it drains", async () => {
    const { code, started, open } = gate();
    const { worker, send, status } = await fakeWorker({ code: { gate: code } });
    const running = send("/run/gate");
    await expect.poll(() => started()).toBe(1);
    const closed = worker.close();
    const refused = await send("/run/gate");
    expect(refused.status).toBe(503);
    expect(refused.headers).toMatchObject({
      "retry-after": "1",
      "x-ol-not-started": "1",
      "x-ol-load": expect.stringContaining("drain=1"),
      connection: "close",
    });
    expect(await status()).toMatchObject({ status: 503, body: Buffer.from("draining") });
    open();
    expect((await running).body.toString()).toBe('"done"');
    await closed;
    await expect(status()).rejects.toThrow(/ECONNREFUSED/u);
  });

  it("does not wait for idle connections, nor for one that sends nothing", async () => {
    const { worker, send } = await fakeWorker({ code: { quick: { call: () => 1 } } });
    await send("/run/quick");
    const silent = connect({ port: worker.port, host: "127.0.0.1" });
    await once(silent, "connect");
    silent.on("error", () => undefined);
    const beganMs = performance.now();
    await worker.close();
    expect(performance.now() - beganMs).toBeLessThan(4_000);
    silent.destroy();
  });

  it("answers a request that crosses the end of its idle connection with 503, not started, and runs it not", async () => {
    let calls = 0;
    const { worker } = await fakeWorker({ code: { counted: { call: () => (calls += 1) } } });
    const sockets = await Promise.all(
      Array.from({ length: 8 }, () => idleConnection(worker.port, "/run/counted")),
    );
    expect(calls).toBe(8);
    // A connection that was never used is idle as well.
    const unused = listening(connect({ port: worker.port, host: "127.0.0.1" }));
    await once(unused.socket, "connect");
    const closed = worker.close();
    for (const [turn, { socket }] of sockets.entries()) {
      // On the client's side nothing is known of the end yet when this is written.
      socket.write(callOf("/run/counted", Buffer.alloc(turn * 100_000, " ")));
      await Promise.resolve();
    }
    unused.socket.write(callOf("/run/counted", Buffer.from("{}")));
    await closed;
    for (const { received, ended } of [...sockets, unused]) {
      await ended;
      const reply = parseReply(Buffer.concat(received));
      expect(reply).toMatchObject({ status: 503, headers: { "x-ol-not-started": "1", connection: "close" } });
    }
    expect(calls).toBe(8);
  });

  it("refuses a call whose body has not come in full, and says that it was not started", async () => {
    const { worker } = await fakeWorker({ code: { counted: { call: () => 1 } } });
    const { socket, received, ended } = await idleConnection(worker.port, "/run/counted");
    socket.write("POST /run/counted HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{");
    await expect.poll(() => worker.open.size).toBe(1);
    await worker.close();
    await ended;
    expect(Buffer.concat(received).toString()).toMatch(/^HTTP\/1\.1 503 [^]*\r\nX-OL-Not-Started: 1\r\n/u);
  });

  it("after 16 calls to a lambda that exits does not hang", async () => {
    const exits: FakeCode = {
      call: (_, { exit }) => {
        exit({ reason: "exit", code: 1 });
        return new Promise(() => undefined);
      },
    };
    const { worker, send } = await fakeWorker({ code: { exits } });
    const replies = await Promise.all(Array.from({ length: 16 }, () => send("/run/exits")));
    expect(replies.map((reply) => reply.status)).toEqual(Array(16).fill(502));
    await worker.close();
  });
});

describe("a worker under more load than it can take", () => {
  it("answers 429 with Retry-After when a function's queue is full", async () => {
    const { code, started, open } = gate();
    const { send } = await fakeWorker({ code: { gate: code }, slots: 1, maxQueuedPerFunction: 1 });
    const first = send("/run/gate");
    await expect.poll(() => started()).toBe(1);
    const second = send("/run/gate");
    const refused = async (): Promise<unknown> => {
      const { status, headers } = await send("/run/gate");
      return { status, after: headers["retry-after"] };
    };
    await expect.poll(refused).toEqual({ status: 429, after: "1" });
    open();
    await first;
    await expect.poll(() => started()).toBe(1);
    open();
    expect((await second).status).toBe(200);
  });

  it("answers 503, not started, to calls that waited too long", async () => {
    const { code, started, open } = gate();
    const { send } = await fakeWorker({ code: { gate: code }, slots: 1, queueTimeoutMs: 50 });
    const first = send("/run/gate");
    await expect.poll(() => started()).toBe(1);
    const reply = await send("/run/gate");
    expect(reply).toMatchObject({ status: 503, headers: { "retry-after": "1", "x-ol-not-started": "1" } });
    expect(reply.body.toString()).toMatch(/within 50 ms\n$/u);
    open();
    expect((await first).status).toBe(200);
  });

  it("holds no more bodies than it has memory for", async () => {
    const { send } = await fakeWorker({
      code: { echo: { call: (event) => event } },
      worker: { maxHeldBytes: 1_000 },
    });
    expect((await send("/run/echo", JSON.stringify("x".repeat(2_000)))).status).toBe(503);
    expect((await send("/run/echo", "[1]")).status).toBe(200);
  });
});

describe("a call whose sandbox fails after the reply has begun", () => {
  it("ends the connection without the final chunk, and is no second reply", async () => {
    const dies: FakeCode = {
      call: (_, { exit }) => {
        setTimeout(() => exit({ reason: "signal", signal: "SIGKILL" }), 30);
        // More than the window: it cannot be sent in full before the end.
        return Buffer.alloc(20_000_000, "1");
      },
    };
    const { worker } = await fakeWorker({ code: { dies } });
    const socket = connect({ port: worker.port, host: "127.0.0.1" });
    const parts: Buffer[] = [];
    socket.write("GET /run/dies HTTP/1.1\r\nHost: a\r\n\r\n");
    socket.on("error", () => undefined);
    await once(socket, "readable");
    // Reads slowly, so that the sandbox dies in the middle.
    await new Promise((resolve) => setTimeout(resolve, 100));
    socket.on("data", (data: Buffer) => parts.push(data));
    await once(socket, "close");
    const reply = Buffer.concat(parts).toString("latin1");
    expect(reply).toMatch(/^HTTP\/1\.1 200 OK/u);
    expect(reply).not.toMatch(/0\r\n\r\n$/u);
    expect(reply.match(/HTTP\/1\.1/gu)?.length).toBe(1);
  });
});

describe("an app's reply that is longer than it promised", () => {
  it.each([
    ["in its middle", true],
    ["with its last piece", false],
  ])("is broken off %s, and its sandbox takes the next call", async (_when, goesOn) => {
    const app: FakeCode = {
      kind: "wsgi",
      app: async ({ path }, reply) => {
        reply.start(200, path === "/short" ? [] : ["Content-Length", "5"]);
        if (path !== "/short") await reply.write(Buffer.from("some"));
        if (goesOn && path !== "/short") await reply.write(Buffer.from("thing"));
        await reply.end(Buffer.from("thing"));
      },
    };
    const { worker, manager, send } = await fakeWorker({ code: { app }, slots: 1 });
    const raw = new RawConnection(worker.port);
    await raw.write("GET /run/app/long HTTP/1.1\r\nHost: a\r\n\r\n");
    expect((await raw.reply())?.broken).toBe(true);
    expect((await send("/run/app/short")).body.toString()).toBe("thing");
    expect(manager.stats()).toMatchObject({ running: 0, unread: 0 });
  });
});

const getOf = (name: string): string => `GET /run/${name} HTTP/1.1\r\nHost: a\r\n\r\n`;

const halfFor = (path: string): string =>
  `POST /run/app${path} HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nhalf`;

describe("a client that leaves", () => {
  it("with requests behind one that still runs leaves none of them behind", async () => {
    const { code, started, open } = gate();
    const long: FakeCode = { call: () => Buffer.alloc(200_000, "1") };
    const { worker, manager } = await fakeWorker({ code: { gate: code, long } });
    const raw = new RawConnection(worker.port);
    await raw.write(getOf("gate") + getOf("long").repeat(20));
    await expect.poll(() => started()).toBe(1);
    await expect.poll(() => manager.stats().unread).toBe(20);
    raw.close();
    await expect.poll(() => worker.open.size).toBe(0);
    expect(manager.stats()).toMatchObject({ unread: 0, running: 1 });
    open();
    await expect.poll(() => manager.stats().running).toBe(0);
  });

  it("in the middle of its body costs nothing and is forgotten", async () => {
    const { worker, manager, send } = await fakeWorker({ code: { echo: { call: (event) => event } } });
    await send("/run/echo", "1");
    const socket = connect({ port: worker.port, host: "127.0.0.1" });
    socket.write("POST /run/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{");
    await expect.poll(() => worker.open.size).toBe(1);
    await expect.poll(() => worker.heldBytes).toBe(1);
    socket.destroy();
    await expect.poll(() => worker.open.size).toBe(0);
    expect(worker.heldBytes).toBe(0);
    expect(manager.stats().calls.accepted).toBe(1);
  });

  it("silently, with half a body sent, is given up after thirty seconds", async () => {
    vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
    onTestFinished(() => void vi.useRealTimers());
    const { worker } = await fakeWorker({ code: { echo: { call: (event) => event } } });
    const reply = rawExchange(worker.port, [
      "POST /run/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{",
    ]);
    await expect.poll(() => worker.heldBytes).toBe(1);
    vi.advanceTimersByTime(25_000);
    expect(worker.open.size).toBe(1);
    vi.advanceTimersByTime(10_000);
    expect(parseReply(await reply).status).toBe(408);
  });

  it("silently, with half a body for an app sent, is given up after thirty seconds in which the app could take more", async () => {
    vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
    onTestFinished(() => void vi.useRealTimers());
    let taken = 0;
    const app: FakeCode = {
      kind: "asgi",
      app: async ({ path, body }, reply) => {
        reply.start(200);
        if (path === "/begun") await reply.write(Buffer.from("begun"));
        for await (const piece of body) taken += piece.length;
        await reply.end();
      },
    };
    const { worker } = await fakeWorker({ code: { app } });
    const silent = new RawConnection(worker.port);
    await silent.write(halfFor("/"));
    const begun = new RawConnection(worker.port);
    await begun.write(halfFor("/begun"));
    await begun.through("begun");
    await expect.poll(() => taken).toBe(8);
    vi.advanceTimersByTime(25_000);
    expect(worker.open.size).toBe(2);
    vi.advanceTimersByTime(10_000);
    expect((await silent.reply())?.status).toBe(408);
    expect(await begun.rest()).not.toContain("0\r\n\r\n");
    await expect.poll(() => worker.open.size).toBe(0);
  });

  it("while its call runs lets it run on, and its sandbox is used again", async () => {
    const { code, started, open } = gate();
    const { worker, pool, send } = await fakeWorker({ code: { gate: code }, slots: 1 });
    const socket = connect({ port: worker.port, host: "127.0.0.1" });
    socket.write("GET /run/gate HTTP/1.1\r\nHost: a\r\n\r\n");
    await expect.poll(() => started()).toBe(1);
    socket.destroy();
    await expect.poll(() => worker.open.size).toBe(0);
    const next = send("/run/gate");
    open();
    await expect.poll(() => started()).toBe(1);
    open();
    expect((await next).status).toBe(200);
    expect(pool.stats().created).toBe(1);
  });
});

describe("a trusted proxy", () => {
  it("may name the invocation and pass X-OL headers on", async () => {
    const seen: FakeCode = { call: (_, { fields, invocationId }) => ({ fields, invocationId }) };
    const { send } = await fakeWorker({ code: { seen }, worker: { trustedProxies: ["127.0.0.0/8"] } });
    const id = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
    const reply = await send("/run/seen", "{}", { "X-OL-Invocation-Id": id, "x-ol-extra": "1" });
    expect(reply.headers["x-ol-invocation-id"]).toBe(id);
    expect(JSON.parse(reply.body.toString())).toMatchObject({ invocationId: id });
    expect(reply.body.toString()).toContain("x-ol-extra");
    const odd = await send("/run/seen", "{}", { "X-OL-Invocation-Id": "../../x" });
    expect(odd.headers["x-ol-invocation-id"]).not.toBe("../../x");
  });
});

const occupied = async (): Promise<Server> => {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close());
  return server;
};

describe("listening", () => {
  it("on a port in use fails with one clear line", async () => {
    const { port } = (await occupied()).address() as AddressInfo;
    await expect(fakeWorker({ code: {}, worker: { port } })).rejects.toMatchObject({
      code: "OL_WORKER_PORT_IN_USE",
      message: expect.stringMatching(new RegExp(`^port ${port} is in use`, "u")),
    });
  });

  it("on localhost means IPv4 and IPv6, with the same port", async () => {
    const { worker } = await fakeWorker({ code: {}, worker: { addresses: ["127.0.0.1", "::1"] } });
    const reply = await new Promise<string>((resolve, reject) => {
      const socket = connect({ port: worker.port, host: "::1" });
      socket.on("error", reject);
      socket.on("data", (data) => resolve(data.toString()));
      socket.write("GET /status HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    });
    expect(reply).toMatch(/^HTTP\/1\.1 200/u);
  });

  it("goes on without an address that this machine lacks, unless it is the first", async () => {
    const { worker } = await fakeWorker({ code: {}, worker: { addresses: ["127.0.0.1", "fd00:dead::1"] } });
    expect(parseReply(await rawExchange(worker.port, ["GET /status HTTP/1.0\r\n\r\n"])).status).toBe(200);
    await expect(fakeWorker({ code: {}, worker: { addresses: ["fd00:dead::1"] } })).rejects.toMatchObject({
      code: "OL_WORKER_CANNOT_LISTEN",
    });
  });
});
