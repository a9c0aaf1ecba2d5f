import { createHash } from "node:crypto";
import { request as httpRequest } from "node:http";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { descendantsOf, leavesRunning, treesOf } from "../../packages/sandbox/test/support/leftovers.ts";
import { agentClient, undiciClient } from "../../packages/worker/test/http/clients.ts";
import { RawConnection } from "../../packages/worker/test/http/raw-connection.ts";
import { AppWorker, KINDS } from "./support/app-worker.ts";

/** Longer than anything takes to stand still. */
const HOLD_MS = 1_000;
/** What may be on its way between an app and a client that takes nothing: a window, and the buffers of three sockets. */
const MAX_UNDERWAY_BYTES = 24_000_000;

let worker: AppWorker;

beforeAll(async () => {
  worker = await AppWorker.start();
  // One sandbox each: the next request shows that it is the same one, and free again.
  for (const kind of KINDS) await worker.add(`${kind}-one`, kind, "max_instances: 1\n");
});
afterAll(() => worker.close());

const chunk = (data: string): string => `${data.length.toString(16)}\r\n${data}\r\n`;
const post = (target: string, field: string): string =>
  `POST ${target} HTTP/1.1\r\nHost: a\r\n${field}\r\n\r\n`;
const CHUNKED = "Transfer-Encoding: chunked";

const waited = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

describe.each(KINDS)("an app (%s)", (kind) => {
  const name = `${kind}-one`;

  it("sends events one by one: its client sees each before the next is sent", async () => {
    const raw = new RawConnection(worker.port);
    await raw.write(post(`/run/${name}/lines`, CHUNKED));
    for (const event of ["one", "two", "three"]) {
      await raw.write(chunk(`${event}\n`));
      await raw.through(`data: ${event}\n\n`);
    }
    await raw.write(chunk(""));
    expect(await raw.through("\r\n0\r\n\r\n")).not.toContain("data");
    raw.close();
  });

  it("hears that its client is gone while it replies; its sandbox is free and the same", async () => {
    const { self } = await worker.noted(name);
    for (let round = 0; round < 3; round += 1) {
      const raw = new RawConnection(worker.port);
      await raw.write(`GET /run/${name}/endless?1000 HTTP/1.1\r\nHost: a\r\n\r\n`);
      await raw.through("xxx");
      raw.close();
      const { self: after, notes } = await worker.noted(name);
      expect(after).toBe(self);
      expect(notes.at(-1)).toMatchObject({ closed: true });
    }
  });

  it("hears that its client is gone while it takes the body; its sandbox is free and the same", async () => {
    const { self } = await worker.noted(name);
    for (const field of ["Content-Length: 1000000", CHUNKED]) {
      const raw = new RawConnection(worker.port);
      const begin = field === CHUNKED ? chunk("x".repeat(300_000)) : "x".repeat(300_000);
      await raw.write(post(`/run/${name}/swallow`, field), begin);
      await raw.through("taking ");
      raw.close();
      const { self: after, notes } = await worker.noted(name);
      expect(after).toBe(self);
      expect(notes.at(-1)).toMatchObject({ gone: true });
    }
  });

  it("is held back while its client takes nothing", async () => {
    const raw = new RawConnection(worker.port);
    await raw.write(`GET /run/${name}/endless?65536 HTTP/1.1\r\nHost: a\r\n\r\n`);
    await raw.through("xxx");
    raw.pause();
    await waited(HOLD_MS);
    raw.close();
    const { notes } = await worker.noted(name);
    const sent = Number(notes.at(-1)?.["sent"]);
    expect(sent).toBeGreaterThan(0);
    expect(sent).toBeLessThan(MAX_UNDERWAY_BYTES);
  });

  it("may begin its reply before the body has come", async () => {
    const raw = new RawConnection(worker.port);
    await raw.write(post(`/run/${name}/swallow`, CHUNKED));
    await raw.through("taking ");
    await raw.write(chunk("x".repeat(200_000)), chunk(""));
    expect(await raw.through("0\r\n\r\n")).toContain("200000");
    raw.close();
  });

  it("may reply without taking the body, and the connection is used again", async () => {
    const raw = new RawConnection(worker.port);
    const body = "x".repeat(2_000_000);
    for (let round = 0; round < 2; round += 1) {
      await raw.write(post(`/run/${name}/ignore`, `Content-Length: ${body.length}`));
      const reply = await raw.reply("POST");
      expect([reply?.status, reply?.body.toString()]).toEqual([200, "not read"]);
      await raw.write(body);
    }
    await raw.write(`GET /run/${name}/sleep?0 HTTP/1.1\r\nHost: a\r\n\r\n`);
    expect((await raw.reply())?.status).toBe(200);
    raw.close();
    for (const client of [agentClient(), undiciClient()]) {
      for (let round = 0; round < 3; round += 1) {
        const ignored = { method: "POST", path: `/run/${name}/ignore`, body };
        expect((await client.send(worker.port, ignored)).body.toString()).toBe("not read");
        const next = { method: "POST", path: `/run/${name}/echo`, body: `${round}` };
        expect((await client.send(worker.port, next)).body.toString()).toBe(`${round}`);
      }
      await client.close();
    }
  });

  it("is not sent what is left of a body after its reply: a client that does not go on is let go of", async () => {
    const raw = new RawConnection(worker.port);
    await raw.write(post(`/run/${name}/ignore`, "Content-Length: 1000000"), "half");
    expect((await raw.reply("POST"))?.status).toBe(200);
    expect(await raw.rest()).toBe("");
  });

  it("over its time in a reply is broken off, and the next request gets a new sandbox", async () => {
    await worker.add(`${kind}-brief`, kind, "max_instances: 1\nlimits:\n  runtime_sec: 1\n");
    const { self } = await worker.noted(`${kind}-brief`);
    const raw = new RawConnection(worker.port);
    await raw.write(`GET /run/${kind}-brief/endless?1000 HTTP/1.1\r\nHost: a\r\n\r\n`);
    const text = await raw.rest();
    expect(text).toMatch(/^HTTP\/1\.1 200 /u);
    expect(text).not.toMatch(/[^]HTTP|0\r\n\r\n$/u);
    expect((await worker.noted(`${kind}-brief`)).self).not.toBe(self);
  });

  // The bound is a little less than the two seconds of who is cut off.
  it(
    "that raises without having taken the body is answered with 500 while the client still sends",
    { retry: 2 },
    async () => {
      const raw = new RawConnection(worker.port);
      const wish = encodeURIComponent(JSON.stringify({ before: "raise" }));
      await raw.write(post(`/run/${name}/say?${wish}`, "Content-Length: 5000000"), "x".repeat(1_000_000));
      const beganMs = performance.now();
      const reply = await raw.reply("POST");
      expect([reply?.status, reply?.broken]).toEqual([500, false]);
      await raw.write("x".repeat(4_000_000));
      // All of it was taken and dropped, so that nobody had to be cut off.
      expect(await raw.reply()).toBeUndefined();
      expect(performance.now() - beganMs).toBeLessThan(1_900);
    },
  );

  it(
    "that is killed in its reply ends that connection at once, and the next request gets a new sandbox",
    { retry: 2 },
    async () => {
      const broker = descendantsOf(worker.process.pid).find((pid) => treesOf(pid).length > 0) ?? 0;
      for (let round = 0; round < 3; round += 1) {
        const { self } = await worker.noted(name);
        const raw = new RawConnection(worker.port);
        await raw.write(`GET /run/${name}/endless?1000 HTTP/1.1\r\nHost: a\r\n\r\n`);
        await raw.through("xxx");
        const [leaf, ...others] = leavesRunning(broker, name);
        expect(others).toEqual([]);
        const killedMs = performance.now();
        process.kill(leaf ?? 0, "SIGKILL");
        expect(await raw.rest()).not.toMatch(/HTTP|0\r\n\r\n$/u);
        expect((await worker.noted(name)).self).not.toBe(self);
        expect(performance.now() - killedMs).toBeLessThan(3_000);
      }
    },
  );

  it("gets a body that comes byte by byte, and its client a reply in pieces of any size", async () => {
    const body = Buffer.from(Array.from({ length: 2_000 }, (_, at) => at % 251));
    const digest = await new Promise<string>((resolve, reject) => {
      const hash = createHash("sha256");
      const options = { port: worker.port, host: "127.0.0.1", method: "POST", path: `/run/${name}/echo` };
      const request = httpRequest(options, (response) => {
        response.on("data", (data: Buffer) => hash.update(data));
        response.on("end", () => resolve(hash.digest("hex")));
        response.on("error", reject);
      });
      request.on("error", reject);
      for (const byte of body) request.write(Buffer.of(byte));
      request.end();
    });
    expect(digest).toBe(createHash("sha256").update(body).digest("hex"));
  });
});
