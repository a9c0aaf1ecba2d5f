import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

import { describe, expect, it } from "vitest";

import { BalancerServer, Dispatcher, type Registrar } from "../../src/index.ts";
import { startBalancer } from "../wire/balancer.ts";
import { RawClient, valueOf } from "../wire/raw-client.ts";
import { type Connection, fieldOf, plainReply, ScriptedWorker } from "../wire/scripted-worker.ts";

const head = (line: string, ...fields: string[]): string => [line, "Host: a", ...fields, "", ""].join("\r\n");
const GET = head("GET /run/x HTTP/1.1");

describe("a balancer that is closed", () => {
  it("says so, lets its calls end, and is gone then", async () => {
    const held: Connection[] = [];
    await using worker = await ScriptedWorker.start({
      request: (_, connection) => void held.push(connection),
    });
    await using balancer = await startBalancer([worker], { limits: { drainMs: 20_000 } });
    using running = new RawClient(balancer.port);
    using idle = new RawClient(balancer.port);
    using probing = new RawClient(balancer.port);
    await running.send(GET);
    await worker.until(() => held.length === 1);
    await probing.send(head("GET /status HTTP/1.1"));
    expect(await probing.reply()).toMatchObject({ status: 200, body: "ready" });

    const closing = balancer.server.close();
    await probing.send(head("GET /status HTTP/1.1"));
    expect(await probing.reply()).toMatchObject({ status: 503, body: "draining" });
    using late = new RawClient(balancer.port);
    await late.send(GET);
    const refusal = await late.reply();
    expect(refusal).toMatchObject({ status: 503 });
    expect(refusal === "cut" ? refusal : valueOf(refusal, "x-ol-not-started")).toBe("1");
    await late.toEnd();

    held[0]?.write(plainReply("late"));
    const reply = await running.reply();
    expect(reply).toMatchObject({ status: 200, body: "late" });
    expect(await idle.toEnd()).toMatch(/^HTTP\/1\.1 503 [^]*X-OL-Not-Started: 1/u);
    await closing;
    using after = new RawClient(balancer.port);
    await after.toEnd();
    expect(after.text).toBe("");
    expect(worker.seen.length).toBe(1);
  });

  it("does not wait for ever", async () => {
    await using worker = await ScriptedWorker.start({ request: () => undefined });
    await using balancer = await startBalancer([worker], { limits: { drainMs: 300 } });
    using client = new RawClient(balancer.port);
    await client.send(GET);
    await worker.until(() => worker.seen.length === 1);
    await balancer.server.close();
    expect(await client.reply()).toBe("cut");
    await worker.until(() => worker.ended > 0);
  });

  it("need not be told the rest of a body that nobody will take", async () => {
    await using worker = await ScriptedWorker.start();
    await using balancer = await startBalancer([worker], { limits: { drainMs: 20_000 } });
    using client = new RawClient(balancer.port);
    await client.send(`${head("POST /run/x HTTP/1.1", "Content-Length: 1000")}half`);
    await expect.poll(() => balancer.server.open.size).toBe(1);
    const closing = balancer.server.close();
    expect(await client.reply()).toMatchObject({ status: 503 });
    await closing;
  });

  it("can be ended at once, twice", async () => {
    await using worker = await ScriptedWorker.start({ request: () => undefined });
    await using balancer = await startBalancer([worker]);
    using client = new RawClient(balancer.port);
    await client.send(GET);
    await worker.until(() => worker.seen.length === 1);
    balancer.server.destroy();
    balancer.server.destroy();
    expect(await client.reply()).toBe("cut");
    await worker.until(() => worker.ended > 0);
  });
});

describe("a balancer's listening", () => {
  it("fails with a code if the port is in use, and leaves nothing", async () => {
    await using balancer = await startBalancer([]);
    await using dispatcher = Dispatcher.create({});
    const options = { dispatcher, version: "test", addresses: ["127.0.0.1"], port: balancer.port };
    await expect(BalancerServer.start(options)).rejects.toMatchObject({ code: "OL_BALANCER_PORT_IN_USE" });
  });

  it("fails with a code if a trusted proxy is no address", async () => {
    await using dispatcher = Dispatcher.create({});
    const options = { dispatcher, version: "test", addresses: ["127.0.0.1"], port: 0 };
    await expect(BalancerServer.start({ ...options, trustedProxies: ["a"] })).rejects.toMatchObject({
      code: "OL_BALANCER_BAD_OPTION",
    });
  });

  it("ends connections that are too many, and goes on when there is room again", async () => {
    await using worker = await ScriptedWorker.start();
    await using balancer = await startBalancer([worker], { limits: { maxConnections: 2 } });
    const first = new RawClient(balancer.port);
    using second = new RawClient(balancer.port);
    for (const client of [first, second]) {
      await client.send(GET);
      expect(await client.reply()).toMatchObject({ status: 200 });
    }
    using third = new RawClient(balancer.port);
    await third.toEnd();
    expect(balancer.server.counters.droppedConnections).toBe(1);
    first.leave();
    await expect
      .poll(
        async () => {
          using fourth = new RawClient(balancer.port);
          await fourth.send(GET);
          return await fourth.reply();
        },
        { timeout: 10_000 },
      )
      .toMatchObject({ status: 200 });
  });

  it("over TLS serves the same, and tells the worker so", async () => {
    const directory = await mkdtemp(join(tmpdir(), "ol-balancer-"));
    try {
      const [cert, key] = [join(directory, "cert.pem"), join(directory, "key.pem")];
      const args = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
      await promisify(execFile)("openssl", [
        ...args,
        "-keyout",
        key,
        "-out",
        cert,
        "-days",
        "2",
        "-subj",
        "/CN=a",
      ]);
      const tls = { cert: await readFile(cert, "utf8"), key: await readFile(key, "utf8") };
      await using worker = await ScriptedWorker.start();
      await using balancer = await startBalancer([worker], { tls });
      expect(balancer.server.url).toMatch(/^https:/u);
      const status = await new Promise((resolve, reject) => {
        const options = { port: balancer.port, host: "127.0.0.1", path: "/run/x", rejectUnauthorized: false };
        request(options, (response) => {
          response.resume();
          response.on("end", () => resolve(response.statusCode));
        })
          .on("error", reject)
          .end();
      });
      expect(status).toBe(200);
      expect(fieldOf(worker.seen[0]!, "x-forwarded-proto")).toBe("https");
      // Plain HTTP there is no reply, and no harm either.
      using client = new RawClient(balancer.port);
      await client.send(GET);
      await client.toEnd();
      await balancer.server.close();
    } finally {
      await rm(directory, { recursive: true });
    }
  });
});

describe("the pages of a balancer", () => {
  it("say what there is to say, and nothing is run by them", async () => {
    await using worker = await ScriptedWorker.start();
    await using balancer = await startBalancer([worker]);
    using client = new RawClient(balancer.port);
    await client.send(GET);
    await client.reply();
    const page = async (path: string, method = "GET"): Promise<{ status: number; body: string }> => {
      await client.send(head(`${method} ${path} HTTP/1.1`, "Content-Length: 0"));
      const reply = await client.reply(method);
      if (reply === "cut") throw new Error("unreachable");
      return reply;
    };
    expect(await page("/status")).toMatchObject({ status: 200, body: "ready" });
    expect(await page("/status", "HEAD")).toMatchObject({ status: 200 });
    expect(await page("/status", "POST")).toMatchObject({ status: 405 });
    const stats = JSON.parse((await page("/stats")).body) as Record<string, unknown>;
    expect(stats).toMatchObject({
      outcomes: { replied: 1 },
      connections: 1,
      dispatcher: { policy: "RoundRobin" },
    });
    const metrics = (await page("/metrics")).body;
    expect(metrics).toMatch(/^ol_balancer_requests_total\{outcome="replied"\} 1$/mu);
    expect(metrics).toMatch(/^ol_balancer_request_seconds_count 1$/mu);
    expect(metrics).toMatch(/^ol_balancer_worker_calls\{worker="127\.0\.0\.1:\d+"\} 0$/mu);
    for (const path of ["/", "/runs/x", "/_ol/workers/a", "/debug", "/state"])
      expect(await page(path)).toMatchObject({ status: 404 });
    expect(worker.seen.length).toBe(1);
  });

  it("hand registrations to the registrar, as they came", async () => {
    const asked: unknown[] = [];
    const registrar: Registrar = {
      handle: (request) => {
        const { method, path, id, body } = request;
        asked.push([method, path, id, body.toString(), request.header("x-ol-signature")]);
        return Promise.resolve({ status: 201, text: "welcome" });
      },
    };
    await using balancer = await startBalancer([], { registrar });
    using client = new RawClient(balancer.port);
    const put = head("PUT /_ol/workers/w%301?a=b HTTP/1.1", "X-OL-Signature: s", "Content-Length: 2");
    await client.send(`${put}{}`);
    expect(await client.reply()).toMatchObject({ status: 201, body: "welcome\n" });
    expect(asked).toEqual([["PUT", "/_ol/workers/w%301?a=b", "w%301", "{}", "s"]]);
    await client.send(head("PUT /_ol/workers/w1 HTTP/1.1", "Content-Length: 20000") + "a".repeat(20_000));
    expect(await client.reply()).toMatchObject({ status: 400 });
  });
});
