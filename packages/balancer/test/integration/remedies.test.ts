import { describe, expect, it } from "vitest";

import { startBalancer } from "../wire/balancer.ts";
import { startPlainHttpProxy } from "../wire/plain-http-proxy.ts";
import { RawClient } from "../wire/raw-client.ts";
import { fieldOf, plainReply, ScriptedWorker, type SeenRequest } from "../wire/scripted-worker.ts";

/** Longer than the balancer takes; what has not happened then is taken not to happen at all. */
const NEVER_MS = 700;
const never = (): Promise<false> => new Promise((resolve) => setTimeout(() => resolve(false), NEVER_MS));

const head = (line: string, ...fields: string[]): string => [line, "Host: a", ...fields, "", ""].join("\r\n");

const SMUGGLED = "GET /run/victim HTTP/1.1\r\nHost: a\r\n\r\n";
const SMUGGLING =
  head("DELETE /run/x HTTP/1.1", "Transfer-Encoding: chunked") +
  `${SMUGGLED.length.toString(16)}\r\n${SMUGGLED}\r\n0\r\n\r\n`;

/** What a worker gets of a request with these fields: from the balancer, and from http-proxy as it comes. */
const passedOn = async (
  fields: readonly string[],
  plainOptions: Parameters<typeof startPlainHttpProxy>[1] = {},
): Promise<{ remedied: SeenRequest; plain: SeenRequest }> => {
  await using worker = await ScriptedWorker.start();
  await using balancer = await startBalancer([worker]);
  await using plain = await startPlainHttpProxy(worker.url, plainOptions);
  for (const { port } of [balancer, plain]) {
    using client = new RawClient(port);
    await client.send(head("GET /run/x HTTP/1.1", ...fields));
    await client.reply();
  }
  return { remedied: worker.seen[0]!, plain: worker.seen[1]! };
};

// Each is tried on http-proxy as it comes as well: a remedy for what is no defect would prove nothing.
describe("what http-proxy 1.18.1 does wrong", () => {
  it("a DELETE with a chunked body is one request, and not two", async () => {
    await using worker = await ScriptedWorker.start();
    await using balancer = await startBalancer([worker]);
    using client = new RawClient(balancer.port);
    await client.send(SMUGGLING);
    expect(await client.reply()).toMatchObject({ status: 200 });
    expect(worker.seen.map(({ line, body }) => [line, body])).toEqual([["DELETE /run/x HTTP/1.1", SMUGGLED]]);

    await using plainWorker = await ScriptedWorker.start();
    await using plain = await startPlainHttpProxy(plainWorker.url);
    using other = new RawClient(plain.port);
    await other.send(SMUGGLING);
    await plainWorker.until(() => plainWorker.raw.includes(SMUGGLED));
    expect(fieldOf(plainWorker.seen[0]!, "content-length")).toBe("0");
  });

  it("the worker is told when the client is gone", async () => {
    await using worker = await ScriptedWorker.start({ request: () => undefined });
    await using balancer = await startBalancer([worker]);
    const client = new RawClient(balancer.port);
    await client.send(head("GET /run/x HTTP/1.1"));
    await worker.until(() => worker.seen.length === 1);
    client.leave();
    await worker.until(() => worker.ended > 0);
    expect(balancer.server.counters.outcomes.left).toBe(1);
    expect(balancer.dispatcher.snapshot().workers[0]?.inFlight).toBe(0);
  });

  it("the worker is told when the client is gone in the middle of a reply", async () => {
    const beginning = `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n`;
    const script = {
      request: (_: unknown, connection: { write(text: string): void }) => connection.write(beginning),
    };
    await using worker = await ScriptedWorker.start(script);
    await using balancer = await startBalancer([worker]);
    const client = new RawClient(balancer.port);
    await client.send(head("GET /run/x HTTP/1.1"));
    await client.until(() => client.text.includes("hello"));
    client.leave();
    await worker.until(() => worker.ended > 0);

    await using plainWorker = await ScriptedWorker.start(script);
    await using plain = await startPlainHttpProxy(plainWorker.url);
    const other = new RawClient(plain.port);
    await other.send(head("GET /run/x HTTP/1.1"));
    await other.until(() => other.text.includes("hello"));
    other.leave();
    const told = plainWorker.until(() => plainWorker.ended > 0).then(() => true);
    expect(await Promise.race([told, never()])).toBe(false);
  });

  it("the client is told when the worker dies in the middle of a reply", async () => {
    const script = {
      request: (_: unknown, connection: { write(text: string): void; reset(): void }) => {
        connection.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
        setTimeout(() => connection.reset(), 50);
      },
    };
    await using worker = await ScriptedWorker.start(script);
    await using balancer = await startBalancer([worker]);
    using client = new RawClient(balancer.port);
    await client.send(head("GET /run/x HTTP/1.1"));
    expect(await client.reply()).toBe("cut");
    expect(balancer.server.counters.outcomes.cut).toBe(1);

    await using plainWorker = await ScriptedWorker.start(script);
    await using plain = await startPlainHttpProxy(plainWorker.url);
    using other = new RawClient(plain.port);
    await other.send(head("GET /run/x HTTP/1.1"));
    expect(await Promise.race([other.reply(), never()])).toBe(false);
  });

  it("slashes in a path stay as they are", async () => {
    const target = "/run/x//a/../b/./%2e%2e//c?x=//y&z=%zz";
    await using worker = await ScriptedWorker.start();
    await using balancer = await startBalancer([worker]);
    using client = new RawClient(balancer.port);
    await client.send(head(`GET ${target} HTTP/1.1`));
    expect(await client.reply()).toMatchObject({ status: 200 });
    expect(worker.seen[0]?.line).toBe(`GET ${target} HTTP/1.1`);

    await using plain = await startPlainHttpProxy(worker.url);
    using other = new RawClient(plain.port);
    await other.send(head(`GET ${target} HTTP/1.1`));
    await other.reply();
    expect(worker.seen[1]?.line).not.toBe(`GET ${target} HTTP/1.1`);
  });

  it("what a Connection field names goes no further", async () => {
    const fields = [
      "Connection: close, X-Secret",
      "X-Secret: 1",
      "X-Kept: 2",
      "Keep-Alive: timeout=1",
      "TE: trailers",
    ];
    const { remedied, plain } = await passedOn(fields);
    for (const name of ["x-secret", "keep-alive", "te"]) expect(fieldOf(remedied, name)).toBeUndefined();
    expect(fieldOf(remedied, "x-kept")).toBe("2");

    expect(fieldOf(plain, "x-secret")).toBe("1");
  });

  it("what a worker's Connection field names goes no further either", async () => {
    const reply = plainReply("ok", [
      "Connection: keep-alive, X-Hop",
      "X-Hop: 1",
      "Keep-Alive: timeout=9",
      "X-Kept: 2",
    ]);
    await using worker = await ScriptedWorker.start({ request: (_, connection) => connection.write(reply) });
    await using balancer = await startBalancer([worker]);
    using client = new RawClient(balancer.port);
    await client.send(head("GET /run/x HTTP/1.1"));
    const { fields } = (await client.reply()) as Exclude<Awaited<ReturnType<RawClient["reply"]>>, "cut">;
    const names = fields.map(([name]) => name.toLowerCase());
    expect(names).toContain("x-kept");
    expect(names).not.toContain("x-hop");
    expect(fields.find(([name]) => name.toLowerCase() === "keep-alive")?.[1]).toBe("timeout=75");
  });

  it("nobody's word is taken for where a request came from", async () => {
    const fields = [
      "X-Forwarded-For: 10.9.9.9",
      "x-forwarded-proto: https",
      "X-Forwarded-Host: bank",
      "X_Forwarded_For: 10.9.9.9",
      "Forwarded: for=10.9.9.9",
    ];
    const { remedied, plain } = await passedOn(fields, { xfwd: true });
    expect(fieldOf(remedied, "x-forwarded-for")).toBe("127.0.0.1");
    expect(fieldOf(remedied, "x-forwarded-proto")).toBe("http");
    expect(fieldOf(remedied, "x-forwarded-host")).toBe("a");
    expect(fieldOf(remedied, "forwarded")).toBeUndefined();
    expect(fieldOf(remedied, "x_forwarded_for")).toBeUndefined();

    expect(fieldOf(plain, "x-forwarded-for")).toContain("10.9.9.9");
  });

  it("but a trusted proxy's is, with its own address behind it", async () => {
    await using worker = await ScriptedWorker.start();
    await using balancer = await startBalancer([worker], { trustedProxies: ["127.0.0.0/8"] });
    using client = new RawClient(balancer.port);
    const id = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
    const given = [`X-OL-Invocation-Id: ${id}`, "X-Forwarded-For: 10.1.1.1", "X-Forwarded-Proto: https"];
    await client.send(head("GET /run/x HTTP/1.1", ...given, "X-Forwarded-Host: shop"));
    await client.reply();
    const [seen] = worker.seen;
    expect(fieldOf(seen!, "x-forwarded-for")).toBe("10.1.1.1, 127.0.0.1");
    expect(fieldOf(seen!, "x-forwarded-proto")).toBe("https");
    expect(fieldOf(seen!, "x-forwarded-host")).toBe("shop");
    expect(fieldOf(seen!, "x-ol-invocation-id")).toBe(id);
  });

  it.each([
    ["two Host fields", "GET /run/x HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"],
    ["two Host fields, for a page", "GET /status HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n"],
    ["the absolute form of another host", "GET http://b/run/x HTTP/1.1\r\nHost: a\r\n\r\n"],
    ["the absolute form of another host, for a page", "GET http://b/status HTTP/1.1\r\nHost: a\r\n\r\n"],
  ])("%s: 400, and the connection ends", async (_, request) => {
    await using worker = await ScriptedWorker.start();
    await using balancer = await startBalancer([worker]);
    using client = new RawClient(balancer.port);
    await client.send(request);
    expect(await client.reply()).toMatchObject({ status: 400 });
    expect(await client.toEnd()).toBe("");
    expect(worker.connections).toBe(0);
  });
});
