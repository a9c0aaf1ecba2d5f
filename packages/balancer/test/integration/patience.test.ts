import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";

import { describe, expect, it } from "vitest";

import { startBalancer } from "../wire/balancer.ts";
import { RawClient } from "../wire/raw-client.ts";
import { plainReply, ScriptedWorker } from "../wire/scripted-worker.ts";

const head = (line: string, ...fields: string[]): string => [line, "Host: a", ...fields, "", ""].join("\r\n");
const trusting = { trustedProxies: ["127.0.0.1"] };

/** A port whose connections are neither accepted nor refused: a queue of one that is full. Node accepts always. */
const silentPort = async (): Promise<AsyncDisposable & { url: string }> => {
  const program =
    "import socket,time\ns=socket.socket()\ns.bind(('127.0.0.1',0))\ns.listen(0)\nprint(s.getsockname()[1],flush=True)\ntime.sleep(60)";
  const child = spawn("python3", ["-c", program], { stdio: ["ignore", "pipe", "inherit"] });
  const [line] = (await once(child.stdout, "data")) as [Buffer];
  const port = Number(line.toString());
  const filling = Array.from({ length: 4 }, () =>
    connect({ port, host: "127.0.0.1" }).on("error", () => undefined),
  );
  await once(filling[0]!, "connect");
  return {
    url: `http://127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      for (const socket of filling) socket.destroy();
      child.kill("SIGKILL");
      await once(child, "exit");
    },
  };
};

describe("the balancer's patience", () => {
  it("with a worker that accepts no connection ends soon, and another one gets the call", async () => {
    await using silent = await silentPort();
    await using worker = await ScriptedWorker.start();
    await using balancer = await startBalancer([silent, worker], { limits: { connectMs: 500 } });
    using client = new RawClient(balancer.port);
    await client.send(head("POST /run/x HTTP/1.1", "Content-Length: 2") + "{}");
    expect(await client.reply()).toMatchObject({ status: 200, body: "ok" });
    expect(worker.seen.length).toBe(1);
    expect(balancer.server.counters.failures.connect).toBe(1);
  });

  it("with a worker that does not answer ends with 504, and the worker is told", async () => {
    await using worker = await ScriptedWorker.start({ request: () => undefined });
    await using other = await ScriptedWorker.start();
    await using balancer = await startBalancer([worker, other], trusting);
    using client = new RawClient(balancer.port);
    await client.send(head("GET /run/x HTTP/1.1", "X-OL-Deadline-Ms: 700"));
    expect(await client.reply()).toMatchObject({ status: 504 });
    await worker.until(() => worker.ended > 0);
    expect(other.seen).toEqual([]);
  });

  it("with a worker that takes no more of a body ends with 504", async () => {
    await using worker = await ScriptedWorker.start({ deaf: true, early: true, request: () => undefined });
    await using balancer = await startBalancer([worker], trusting);
    using client = new RawClient(balancer.port);
    await client.send(head("POST /run/x HTTP/1.1", "X-OL-Deadline-Ms: 700", `Content-Length: ${1 << 26}`));
    void client.send(Buffer.alloc(1 << 26));
    expect(await client.reply()).toMatchObject({ status: 504 });
  });

  it("is not over while a body still comes, however long that takes", async () => {
    await using worker = await ScriptedWorker.start();
    await using balancer = await startBalancer([worker], trusting);
    using client = new RawClient(balancer.port);
    await client.send(head("POST /run/x HTTP/1.1", "X-OL-Deadline-Ms: 1500", "Content-Length: 200000"));
    for (let sent = 0; sent < 10; sent += 1) {
      await client.send("a".repeat(20_000));
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
    expect(await client.reply()).toMatchObject({ status: 200 });
  });

  it.each([
    ["small", 100],
    ["large", 1 << 20],
  ])("with a client whose %s body stops coming ends with 408", async (_, bytes) => {
    await using worker = await ScriptedWorker.start({ early: true, request: () => undefined });
    await using balancer = await startBalancer([worker], { limits: { bodyIdleMs: 700 } });
    using client = new RawClient(balancer.port);
    await client.send(head("POST /run/x HTTP/1.1", `Content-Length: ${bytes}`) + "a".repeat(50));
    expect(await client.reply()).toMatchObject({ status: 408 });
    await client.toEnd();
    // A slow client has no place at a worker before its body is there, as far as it is kept.
    expect(worker.seen.length).toBe(bytes === 100 ? 0 : 1);
    if (bytes > 100) await worker.until(() => worker.ended > 0);
    expect(balancer.dispatcher.snapshot().live).toBe(0);
  });

  it("with a client whose header does not come ends with 408", async () => {
    await using balancer = await startBalancer([], { limits: { headersMs: 500 } });
    using client = new RawClient(balancer.port);
    await client.send("GET /run/x HTTP/1.1\r\nX-A:");
    expect(await client.reply()).toMatchObject({ status: 408 });
    await client.toEnd();
    using silent = new RawClient(balancer.port);
    await silent.until(() => silent.closed || silent.text !== "");
  });

  it("with a worker that stops in the middle of a reply ends by breaking it off", async () => {
    await using worker = await ScriptedWorker.start({
      request: (_, connection) => connection.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"),
    });
    await using balancer = await startBalancer([worker], { limits: { idleMs: 700 } });
    using client = new RawClient(balancer.port);
    await client.send(head("GET /run/x HTTP/1.1"));
    expect(await client.reply()).toBe("cut");
    await worker.until(() => worker.ended > 0);
  });

  it("with a worker that sends now and then does not end", async () => {
    await using worker = await ScriptedWorker.start({
      request: (_, connection) => {
        connection.write("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n");
        let sent = 0;
        const timer = setInterval(() => {
          connection.write("a");
          sent += 1;
          if (sent === 6) clearInterval(timer);
        }, 1_000);
      },
    });
    await using balancer = await startBalancer([worker], { limits: { idleMs: 4_000 } });
    using client = new RawClient(balancer.port);
    await client.send(head("GET /run/x HTTP/1.1"));
    expect(await client.reply()).toMatchObject({ body: "aaaaaa" });
  });

  it("with a client that does not read ends, and the worker has its place back", async () => {
    await using worker = await ScriptedWorker.start({
      request: (_, connection) => connection.write(plainReply("a".repeat(1 << 26))),
    });
    await using balancer = await startBalancer([worker], { limits: { idleMs: 1_000 } });
    using client = new RawClient(balancer.port);
    client.pause();
    await client.send(head("GET /run/x HTTP/1.1"));
    await worker.until(() => worker.seen.length === 1);
    await worker.until(() => worker.ended > 0);
    await expect.poll(() => balancer.server.open.size, { timeout: 20_000 }).toBe(0);
    expect(balancer.dispatcher.snapshot().live).toBe(0);
    expect(balancer.server.counters.failures.timeout).toBe(0);
  });
});
