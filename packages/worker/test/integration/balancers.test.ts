import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { text as readBody } from "node:stream/consumers";

import { isProofOf, isSignatureOf, parseLoad, parseWarm, ProxyProof, silentLogger } from "@ol/common";
import type { FakeCode } from "@ol/sandbox/testing";
import { describe, expect, it, onTestFinished } from "vitest";

import { Registration } from "../../src/index.ts";
import { fakeWorker } from "../http/fake-worker.ts";
import { ONE_CONNECTION, type OneConnection } from "../http/one-connection.ts";

const TOKEN = "0123456789abcdef0123456789abcdef";
const code = { echo: { call: (event: unknown) => event } };

type Rig = Awaited<ReturnType<typeof fakeWorker>>;

const json = async ({ worker }: Rig, path: string): Promise<Record<string, unknown>> => {
  const response = await fetch(`http://127.0.0.1:${worker.port}${path}`);
  expect(response.status).toBe(200);
  return (await response.json()) as Record<string, unknown>;
};

const warmIn = async (connection: OneConnection, name: string): Promise<string | undefined> => {
  const { status, headers } = await connection.send("POST", `/run/${name}`, "{}");
  expect([status, parseLoad(String(headers["x-ol-load"]))?.slots]).toEqual([200, 8]);
  return headers["x-ol-warm"] as string | undefined;
};

describe("what a worker reports", () => {
  it("with its replies is its load to everybody, and what is warm to proxies that it trusts", async () => {
    const stranger = await fakeWorker({ code });
    await stranger.send("/run/echo");
    const told = await stranger.send("/run/echo");
    expect(parseLoad(told.headers["x-ol-load"] ?? "")).toMatchObject({ slots: 8, draining: false });
    expect(told.headers).not.toHaveProperty("x-ol-warm");
    const trusted = await fakeWorker({ code, worker: { trustedProxies: ["127.0.0.1"] } });
    // Also with an error, where nothing ran.
    const unknown = await trusted.send("/run/nothing");
    expect(unknown.status).toBe(404);
    const texts = [unknown, await trusted.send("/run/echo"), await trusted.send("/run/echo")].flatMap(
      ({ headers }) => headers["x-ol-warm"] ?? [],
    );
    expect(parseWarm(texts[0] ?? "")?.epoch).toEqual(expect.any(Number));
    expect(parseWarm(texts.at(-1) ?? "")?.changes).toContainEqual({ kind: "+", name: "echo" });
  });

  it("when asked is its whole state, or what has changed since an epoch", async () => {
    const rig = await fakeWorker({ code });
    const before = await json(rig, "/state");
    expect(before).toMatchObject({ v: 1, name: "w", warm: [], functions: [], zygotes: [], waitMs: 30_000 });
    await rig.send("/run/echo");
    const all = await json(rig, "/state");
    expect(all).toMatchObject({ warm: ["echo"], functions: [{ name: "echo", limitMs: 5_000 }] });
    const since = String(before["epoch"]);
    const changed = await json(rig, `/state?since=${since}`);
    expect(changed).toMatchObject({ since: before["epoch"], functions: [{ name: "echo" }] });
    expect(changed["changes"]).toContain("+echo");
    expect(changed).not.toHaveProperty("warm");
    expect(await json(rig, `/state?since=${String(all["epoch"])}`)).toMatchObject({
      changes: [],
      functions: [],
    });
    for (const odd of ["x", "-1", "1&since=2", "999999999999999999", "1"])
      expect(await json(rig, `/state?since=${odd}`)).toMatchObject({ warm: ["echo"] });
  });

  it("of what is warm is said once on a connection, and again when it has changed", async () => {
    const { worker } = await fakeWorker({
      code: { ...code, other: { call: () => 1 } },
      worker: { trustedProxies: ["127.0.0.1"] },
    });
    const connect = ONE_CONNECTION["http.Agent"] as (port: number) => OneConnection;
    const [one, two] = [connect(worker.port), connect(worker.port)];
    onTestFinished(async () => void (await Promise.all([one.close(), two.close()])));
    // With the second at the latest it is told that there is a sandbox now.
    for (const name of ["echo", "echo"]) await warmIn(one, name);
    expect(await warmIn(one, "echo")).toBeUndefined();
    expect(await warmIn(two, "echo")).toMatch(/\+echo$/u);
    expect(await warmIn(two, "echo")).toBeUndefined();
    for (const name of ["other", "other"]) await warmIn(two, name);
    expect(await warmIn(two, "other")).toBeUndefined();
    expect(await warmIn(one, "echo")).toMatch(/\+echo.*\+other$/u);
    expect(await warmIn(one, "echo")).toBeUndefined();
  });

  it("is never what a client or a lambda sends under these names", async () => {
    const rig = await fakeWorker({ code, worker: { trustedProxies: ["10.0.0.1"] } });
    const { headers } = await rig.send("/run/echo", "{}", {
      "X-OL-Load": "v=1;slots=99;busy=0;queue=0;mem=0.00;drain=0",
      "X-OL-Warm": "v=1;epoch=1;+x",
      "X-OL-Not-Started": "1",
    });
    expect(parseLoad(headers["x-ol-load"] ?? "")?.slots).toBe(8);
    expect(headers).not.toHaveProperty("x-ol-warm");
    expect(headers).not.toHaveProperty("x-ol-not-started");
  });
});

describe("a load balancer that proves that it knows the token", () => {
  const seen: FakeCode = { call: (_, { fields, invocationId }) => ({ fields, invocationId }) };
  const id = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
  const call = async (
    proofs: Readonly<Record<string, string>>,
  ): Promise<readonly [boolean, boolean, string]> => {
    const { send } = await fakeWorker({ code: { seen }, worker: { token: TOKEN } });
    const { status, headers, body } = await send("/run/seen", "{}", { "X-OL-Invocation-Id": id, ...proofs });
    expect(status).toBe(200);
    return [headers["x-ol-invocation-id"] === id, "x-ol-warm" in headers, body.toString()];
  };

  it("is believed wherever it is, and no lambda sees the proof", async () => {
    const text = new ProxyProof(TOKEN).text();
    const [believed, told, body] = await call({ "X-OL-Proxy": text });
    expect([believed, told]).toEqual([true, true]);
    expect(body).toContain(id);
    expect(body.toLowerCase()).not.toContain("x-ol-proxy");
    expect(body).not.toContain(text.slice(-64));
  });

  it.each([
    ["without one", {}],
    ["with another token", { "X-OL-Proxy": new ProxyProof(`${TOKEN}.`).text() }],
    [
      "with one from an hour ago",
      { "X-OL-Proxy": new ProxyProof(TOKEN, () => Date.now() - 3_600_000).text() },
    ],
    ["with the token itself", { "X-OL-Proxy": TOKEN }],
    ["with one under another spelling", { X_OL_Proxy: new ProxyProof(TOKEN).text() }],
  ])("is not believed %s", async (_, proofs) => {
    const [believed, told, body] = await call(proofs);
    expect([believed, told]).toEqual([false, false]);
    expect(body).not.toContain(id);
  });

  it("is not believed by a worker without a token", async () => {
    const rig = await fakeWorker({ code: { seen } });
    const { headers } = await rig.send("/run/seen", "{}", { "X-OL-Proxy": new ProxyProof(TOKEN).text() });
    expect(headers).not.toHaveProperty("x-ol-warm");
  });
});

const draining = (text: string | undefined): boolean | undefined => parseLoad(text ?? "")?.draining;

describe("a worker that leaves", () => {
  it("says so with every answer and serves on until its load balancer has asked, and then refuses", async () => {
    const rig = await fakeWorker({ code, worker: { token: TOKEN } });
    const proof = { "X-OL-Proxy": new ProxyProof(TOKEN).text() };
    const state = async (): Promise<unknown> => {
      const response = await fetch(`http://127.0.0.1:${rig.worker.port}/state`, { headers: proof });
      return ((await response.json()) as { load: { draining: boolean } }).load.draining;
    };
    expect(draining((await rig.send("/run/echo", "{}", proof)).headers["x-ol-load"])).toBe(false);
    let left = false;
    const leaving = rig.worker.leave().then(() => (left = true));
    const served = await rig.send("/run/echo", "{}", proof);
    expect([served.status, draining(served.headers["x-ol-load"])]).toEqual([200, true]);
    expect(served.headers).not.toHaveProperty("connection", "close");
    const status = await rig.status();
    expect([status.status, draining(status.headers["x-ol-load"])]).toEqual([503, true]);
    expect(left).toBe(false);
    expect(await state()).toBe(true);
    await leaving;
    const drained = rig.worker.drain();
    const refused = await rig.send("/run/echo", "{}", proof);
    expect([refused.status, refused.headers["x-ol-not-started"]]).toEqual([503, "1"]);
    await drained;
  });

  it("need not wait if no load balancer looks after it", async () => {
    const rig = await fakeWorker({ code, worker: { token: TOKEN } });
    await rig.send("/run/echo", "{}", { "X-OL-Proxy": new ProxyProof(`${TOKEN}.`).text() });
    const beganMs = performance.now();
    await rig.worker.leave();
    expect(performance.now() - beganMs).toBeLessThan(700);
    await rig.worker.leave();
  });
});

const ask = (rig: Rig, query: string): Promise<Response> =>
  fetch(`http://127.0.0.1:${rig.worker.port}/_ol/proof${query}`);

describe("a worker's proof", () => {
  const nonce = "00112233445566778899aabbccddeeff";
  it("is good for the nonce and the id that it was asked with", async () => {
    const rig = await fakeWorker({ code, worker: { membership: { token: TOKEN, id: () => "me:1" } } });
    const proof = await (await ask(rig, `?id=me:1&nonce=${nonce}`)).text();
    expect(isProofOf(TOKEN, "me:1", nonce, proof)).toBe(true);
    expect(isProofOf(TOKEN, "me:2", nonce, proof)).toBe(false);
    expect(isProofOf(TOKEN, "me:1", nonce.replace("0", "1"), proof)).toBe(false);
    expect(proof).not.toContain(TOKEN);
  });

  it("is given to no other question, and by no worker that registers with nobody", async () => {
    const rig = await fakeWorker({ code, worker: { membership: { token: TOKEN, id: () => "me:1" } } });
    const odd = [
      "",
      `?id=you:1&nonce=${nonce}`,
      "?id=me:1&nonce=ab",
      "?id=me:1",
      `?id=me:1&nonce=${nonce}&nonce=${nonce}`,
    ];
    for (const query of odd) expect((await ask(rig, query)).status).toBe(400);
    const alone = await fakeWorker({ code });
    expect((await ask(alone, `?id=me:1&nonce=${nonce}`)).status).toBe(404);
  });
});

interface Seen {
  readonly method: string;
  readonly path: string;
  readonly body: string;
  readonly signed: boolean;
  readonly timeMs: number;
}

/** What stands where a balancer would; it checks what it is sent as one does. */
const listener = async (status: () => number) => {
  const seen: Seen[] = [];
  const server = createServer((request, response) => {
    void readBody(request).then((body) => {
      const { method = "", url: path = "", headers } = request;
      const timeMs = Number(headers["x-ol-time"]);
      const signed = isSignatureOf(TOKEN, { method, path, body, timeMs }, String(headers["x-ol-signature"]));
      seen.push({ method, path, body, signed, timeMs });
      return response.writeHead(status()).end("as told");
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(async () => {
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeAllConnections();
    await closed;
  });
  return { seen, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
};

describe("a worker that registers itself", () => {
  it("does so again and again, signed anew each time, until it leaves", async () => {
    const { seen, url } = await listener(() => 200);
    const registration = new Registration({
      balancers: [url],
      token: TOKEN,
      id: "10.0.0.7:8080",
      url: "http://10.0.0.7:8080",
      slots: 8,
      intervalMs: 20,
    });
    await expect.poll(() => seen.length, { timeout: 10_000 }).toBeGreaterThan(3);
    await registration.leave();
    const count = seen.length;
    const last = seen.at(-1);
    expect(seen.every(({ signed }) => signed)).toBe(true);
    expect(new Set(seen.slice(0, 3).map(({ timeMs }) => timeMs)).size).toBe(3);
    expect(JSON.parse(seen[0]?.body ?? "")).toMatchObject({ url: "http://10.0.0.7:8080", slots: 8 });
    const { instance } = JSON.parse(seen[0]?.body ?? "") as { instance: string };
    expect(last).toMatchObject({
      method: "DELETE",
      path: `/_ol/workers/10.0.0.7:8080?instance=${instance}`,
    });
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(seen.length).toBe(count);
  });

  it("goes on with the others, and says it once, if one refuses it or is not there", async () => {
    let status = 401;
    const { seen, url } = await listener(() => status);
    const warnings: unknown[] = [];
    const infos: unknown[] = [];
    const registration = new Registration({
      balancers: ["http://127.0.0.1:1", url],
      token: TOKEN,
      id: "w",
      url: "http://w:1",
      slots: 8,
      intervalMs: 20,
      logger: {
        ...silentLogger,
        info: (_, fields) => infos.push(fields),
        warn: (_, fields) => warnings.push(fields),
      },
    });
    onTestFinished(() => registration.leave());
    await expect.poll(() => seen.length, { timeout: 10_000 }).toBeGreaterThan(5);
    expect(warnings).toContainEqual({ balancer: url, id: "w", problem: "401: as told" });
    expect(warnings).toHaveLength(2);
    status = 200;
    await expect.poll(() => infos, { timeout: 10_000 }).toEqual([{ balancer: url, id: "w" }]);
  });
});
