import { mkdtemp, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { proofOf, signRequest } from "@ol/common";
import { describe, expect, it, onTestFinished } from "vitest";

import { readAddresses } from "../../src/membership/address.ts";
import { DnsMembership } from "../../src/membership/dns-membership.ts";
import { FileMembership } from "../../src/membership/file-membership.ts";
import { LeaseMembership } from "../../src/membership/lease-membership.ts";
import type { RegistrationRequest } from "../../src/membership/registration.ts";
import type { WorkerAddress } from "../../src/options.ts";
import { VirtualClock } from "../../src/virtual-clock.ts";
import { FakeProbe, settled, TestBalancer, ToldSource } from "../support/balancer.ts";

const TOKEN = "0123456789abcdef0123456789abcdef";
const NOW_MS = 1_700_000_000_000;

describe("a list of workers", () => {
  it("may hold URLs and objects", () => {
    const list = ["http://a:1", { id: "b", url: "https://b:2", slots: 8, more: true }];
    expect(readAddresses(list)).toEqual([{ url: "http://a:1" }, { id: "b", url: "https://b:2", slots: 8 }]);
  });

  it.each([
    [{}, "no list"],
    [[7], "neither a URL"],
    [["nonsense"], "no URL such as"],
    [["http://a:1", { id: "a:1", url: "http://b:1" }], "there twice"],
    [[{ url: "http://u:p@a:1" }], "password"],
    [[{ url: "http://a:1", slots: 0 }], "slots"],
    [[{ url: "http://a:1", id: "a\nb" }], "id"],
  ])("is refused with the reason if it is none: %j", (value, reason) => {
    expect(readAddresses(value)).toContain(reason);
  });
});

const urls = (workers: readonly WorkerAddress[]): string[] => workers.map(({ url }) => url);

describe("a file of workers", () => {
  it("is read again when it changes or is replaced, and keeps what it said while it cannot be used", async () => {
    const directory = await mkdtemp(join(tmpdir(), "ol-workers-"));
    const file = join(directory, "workers.json");
    await writeFile(file, '["http://a:1"]');
    const membership = new FileMembership({ file });
    onTestFinished(async () => {
      await membership.close();
      await rm(directory, { recursive: true });
    });
    let told: string[] = [];
    await membership.start((workers) => (told = urls(workers)));
    // Told by then, so that a balancer that says it is ready has workers.
    expect(told).toEqual(["http://a:1"]);
    await writeFile(file, '["http://a:1", ');
    await rm(file);
    await writeFile(join(directory, "new"), '["http://a:1", "http://b:1"]');
    await rename(join(directory, "new"), file);
    await expect.poll(() => told, { timeout: 5_000 }).toEqual(["http://a:1", "http://b:1"]);
    // As Kubernetes replaces what a ConfigMap mounts.
    await writeFile(join(directory, "target"), '["http://c:1"]');
    await symlink("target", join(directory, "link"));
    await rename(join(directory, "link"), file);
    await expect.poll(() => told, { timeout: 5_000 }).toEqual(["http://c:1"]);
  });
});

describe("a name with several addresses", () => {
  it("is resolved every 5 s, and keeps its addresses while it cannot be", async () => {
    const clock = new VirtualClock();
    let answers: readonly string[] | undefined = ["10.0.0.2", "10.0.0.1"];
    const resolve = (): Promise<readonly string[]> =>
      answers === undefined ? Promise.reject(new Error("SERVFAIL")) : Promise.resolve(answers);
    const told: string[][] = [];
    const membership = new DnsMembership({ url: "http://workers:8080", resolve, clock });
    void membership.start((workers) => told.push(urls(workers)));
    const pass = async (): Promise<void> => {
      await settled();
      clock.advance(5_000);
      await settled();
    };
    await settled();
    answers = ["10.0.0.1", "10.0.0.2"];
    await pass();
    answers = undefined;
    await pass();
    answers = ["10.0.0.1", "fd00::7"];
    await pass();
    await membership.close();
    answers = [];
    await pass();
    expect(told).toEqual([
      ["http://10.0.0.1:8080", "http://10.0.0.2:8080"],
      ["http://10.0.0.1:8080", "http://[fd00::7]:8080"],
    ]);
  });

  it("may be one that this machine's resolver knows", async () => {
    const membership = new DnsMembership({ url: "http://localhost:8080" });
    onTestFinished(() => membership.close());
    let workers: readonly WorkerAddress[] = [];
    await membership.start((found) => (workers = found));
    expect(urls(workers).every((url) => /^http:\/\/(?:127\.0\.0\.1|\[::1\]):8080$/u.test(url))).toBe(true);
    expect(workers.length).toBeGreaterThan(0);
  });
});

/** What a worker with the token sends, and how it can be falsified. */
const registration = (
  id: string,
  url: string,
  more: Partial<RegistrationRequest> & { timeMs?: number; token?: string; slots?: unknown } = {},
): RegistrationRequest => {
  const { timeMs = NOW_MS, token = TOKEN, slots = 8, ...changed } = more;
  const method = more.method ?? "PUT";
  const path = more.path ?? `/_ol/workers/${id}`;
  const body = more.body ?? Buffer.from(JSON.stringify({ url, slots }));
  const signature = signRequest(token, { method, path, body, timeMs });
  const headers: Record<string, string> = { "x-ol-time": String(timeMs), "x-ol-signature": signature };
  return { method, path, id, body, header: (name) => headers[name], ...changed };
};

/** Workers that prove that they know a token; others do not answer. */
class ProvingProbe extends FakeProbe {
  readonly tokens = new Map<string, string>();
  asks = 0;

  override async proof(url: URL, id: string, nonce: string): Promise<string> {
    this.asks += 1;
    const token = this.tokens.get(url.host);
    if (token === undefined) throw new Error("connection refused");
    return proofOf(token, id, nonce);
  }
}

const leaving = (instance: string): RegistrationRequest =>
  registration("w1", "", {
    method: "DELETE",
    path: `/_ol/workers/w1?instance=${instance}`,
    body: Buffer.alloc(0),
  });

const bodyOf = (instance: string): Buffer => Buffer.from(JSON.stringify({ url: "http://w1:8080", instance }));

const leases = () => {
  const clock = new VirtualClock();
  const probe = new ProvingProbe();
  probe.tokens.set("w1:8080", TOKEN);
  const membership = new LeaseMembership({
    token: TOKEN,
    probe,
    clock,
    epochMs: () => NOW_MS + clock.nowMs(),
  });
  let told: readonly WorkerAddress[] = [];
  void membership.start((workers) => (told = workers));
  return { clock, probe, membership, told: () => told };
};

describe("a registration", () => {
  it("makes a worker known for 10 s once its URL has proved that it knows the token", async () => {
    const { clock, probe, membership, told } = leases();
    expect(await membership.handle(registration("w1", "http://w1:8080"))).toMatchObject({ status: 200 });
    expect(told()).toEqual([{ id: "w1", url: "http://w1:8080", slots: 8 }]);
    clock.advance(9_000);
    await membership.handle(registration("w1", "http://w1:8080", { timeMs: NOW_MS + 9_000 }));
    expect(probe.asks).toBe(1);
    clock.advance(9_999);
    expect(told()).toHaveLength(1);
    clock.advance(1);
    expect(told()).toHaveLength(0);
  });

  it("ends at once when the worker says that it leaves", async () => {
    const { membership, told } = leases();
    await membership.handle(registration("w1", "http://w1:8080"));
    const left = registration("w1", "", { method: "DELETE", body: Buffer.alloc(0) });
    expect((await membership.handle(left)).status).toBe(200);
    expect(told()).toHaveLength(0);
  });

  it("of a successor with the same name stays when the one before it leaves", async () => {
    const { membership, told } = leases();
    await membership.handle(registration("w1", "", { body: bodyOf("old") }));
    await membership.handle(registration("w1", "", { body: bodyOf("new") }));
    expect((await membership.handle(leaving("old"))).status).toBe(200);
    expect(told()).toHaveLength(1);
    await membership.handle(leaving("new"));
    expect(told()).toHaveLength(0);
  });

  it("by a stranger is refused, changed in whatever part, or without a signature", async () => {
    const { probe, membership, told } = leases();
    const good = registration("w1", "http://w1:8080");
    const bad: RegistrationRequest[] = [
      registration("w1", "http://w1:8080", { token: "another token altogether" }),
      { ...good, path: "/_ol/workers/w2", id: "w2" },
      { ...good, method: "DELETE" },
      { ...good, body: Buffer.from('{"url":"http://w1:81","slots":8}') },
      { ...good, header: () => undefined },
      { ...good, header: (name) => (name === "x-ol-time" ? String(NOW_MS + 1) : good.header(name)) },
      { ...good, header: (name) => (name === "x-ol-time" ? good.header(name) : "f".repeat(64)) },
    ];
    for (const request of bad) expect((await membership.handle(request)).status).toBe(401);
    expect(told()).toHaveLength(0);
    expect(probe.asks).toBe(0);
  });

  it("is good for one time within 30 s, whatever the sender's clock says", async () => {
    const { clock, membership } = leases();
    const statusOf = async (request: RegistrationRequest): Promise<number> =>
      (await membership.handle(request)).status;
    const first = registration("w1", "http://w1:8080");
    expect([await statusOf(first), await statusOf(first)]).toEqual([200, 401]);
    expect(await statusOf(registration("w1", "http://w1:8080", { timeMs: NOW_MS - 30_001 }))).toBe(401);
    expect(await statusOf(registration("w1", "http://w1:8080", { timeMs: NOW_MS + 30_001 }))).toBe(401);
    const future = registration("w1", "http://w1:8080", { timeMs: NOW_MS + 30_000 });
    expect(await statusOf(future)).toBe(200);
    for (let count = 0; count < 6; count += 1) {
      clock.advance(10_000);
      await statusOf(registration("w1", "http://w1:8080", { timeMs: NOW_MS + clock.nowMs() }));
      expect([await statusOf(first), await statusOf(future)]).toEqual([401, 401]);
    }
  });

  it("with a URL that does not answer with the token is refused, and gets no calls", async () => {
    const { probe, membership, told } = leases();
    probe.tokens.set("stranger:80", "not the cluster's token");
    for (const url of ["http://stranger:80", "http://nobody:80"])
      expect((await membership.handle(registration("w1", url))).status).toBe(422);
    expect(told()).toHaveLength(0);
  });

  it("with another URL for a known worker has to be proved again", async () => {
    const { probe, membership, told } = leases();
    await membership.handle(registration("w1", "http://w1:8080"));
    expect((await membership.handle(registration("w1", "http://w1:81"))).status).toBe(422);
    expect(urls(told())).toEqual(["http://w1:8080"]);
    probe.tokens.set("w1:82", TOKEN);
    expect((await membership.handle(registration("w1", "http://w1:82"))).status).toBe(200);
    expect(urls(told())).toEqual(["http://w1:82"]);
  });

  it.each([
    ["", "http://w1:8080", {}, 400],
    ["a/b", "http://w1:8080", {}, 400],
    ["w1", "file:///etc/passwd", {}, 400],
    ["w1", "http://w1:80/path", {}, 400],
    ["w1", "http://w1:8080", { slots: "8" }, 400],
    ["w1", "http://w1:8080", { body: Buffer.from("[]") }, 400],
    ["w1", "http://w1:8080", { body: Buffer.from("{") }, 400],
    ["w1", "http://w1:8080", { method: "POST" }, 405],
  ])("that asks for what cannot be is refused: %j %j %j", async (id, url, more, status) => {
    const { probe, membership } = leases();
    expect((await membership.handle(registration(id, url, more))).status).toBe(status);
    expect(probe.asks).toBe(0);
  });

  it("needs a token that cannot be guessed", () => {
    expect(() => new LeaseMembership({ token: "secret" })).toThrow("could be guessed");
  });
});

describe("a dispatcher with several sources of workers", () => {
  it("knows all of them, lets those go that no source names, and gives late ones their slots little by little", async () => {
    const source = new ToldSource();
    const balancer = new TestBalancer(1, { memberships: [source] });
    source.tell([{ id: "x", url: "http://x:1", slots: 8 }]);
    expect(balancer.worker("x")).toMatchObject({ slots: 8, slotsGiven: 8 });
    balancer.clock.advance(10_000);
    source.tell([{ id: "y", url: "http://y:1", slots: 8 }]);
    expect(balancer.dispatcher.snapshot().workers.map(({ id }) => id)).toEqual(["w0", "y"]);
    expect(balancer.worker("y")).toMatchObject({ slots: 8, slotsGiven: 2 });
    // Another machine goes by that name now.
    source.tell([{ id: "y", url: "http://z:1" }]);
    expect(balancer.worker("y").url).toBe("http://z:1/");
    source.tell([]);
    expect(balancer.dispatcher.snapshot().workers.map(({ id }) => id)).toEqual(["w0"]);
    await balancer.dispatcher.close();
    expect(source.closed).toBe(true);
  });

  it("ends the calls of a worker that left as it ends others", () => {
    const source = new ToldSource();
    const balancer = new TestBalancer(0, { memberships: [source] });
    source.tell([{ id: "x", url: "http://x:1", slots: 4 }]);
    const { lease } = balancer.send("f");
    source.tell([]);
    lease?.failed("reset", false);
    lease?.release();
    expect(balancer.dispatcher.snapshot()).toMatchObject({ live: 0, workers: [] });
    source.tell([{ id: "x", url: "http://x:1", slots: 4 }]);
    expect(balancer.worker("x")).toMatchObject({ inFlight: 0, load: 0 });
    expect(balancer.send("f").lease?.worker.id).toBe("x");
  });
});
