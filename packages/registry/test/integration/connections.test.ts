import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { TestRegistry } from "../support/registry.ts";
import { signedHead, Wire } from "../support/wire.ts";

const MIB = 1024 * 1024;
const WAIT = { timeout: 20_000 };
let registry: TestRegistry;
let wires: Wire[];
beforeEach(async () => {
  registry = await TestRegistry.start({ limits: { maxObjectBytes: 16 * MIB, idleMs: 1_500 } });
  wires = [];
});
afterEach(async () => {
  for (const { socket } of wires) socket.destroy();
  await registry[Symbol.asyncDispose]();
});

const open = (): Wire => {
  const wire = new Wire(registry.server.port);
  wires.push(wire);
  return wire;
};

const expecting = (plain = {}, length = 5): Promise<string> =>
  signedHead(plain, [`content-length: ${length}`, "expect: 100-continue"]);

describe("a client that waits for 100 Continue", () => {
  it("is told to send its body once it is clear that it is wanted", async () => {
    const wire = open();
    wire.write(await expecting());
    await expect.poll(() => wire.text, WAIT).toBe("HTTP/1.1 100 Continue\r\n\r\n");
    wire.write("hello");
    await expect.poll(() => wire.statuses, WAIT).toEqual(["100", "200"]);
    expect((await registry.send("GET", "/code/wire")).text).toBe("hello");
  });

  it("is refused before it sends anything", async () => {
    await registry.send("PUT", "/code/wire", { body: "there" });
    const forged = (await expecting()).replace("/code/wire", "/code/wirf");
    const heads = [
      [forged, "SignatureDoesNotMatch"],
      [await expecting({ path: "/not-there/a" }), "NoSuchBucket"],
      [
        await expecting({ headers: { "x-amz-content-sha256": "UNSIGNED-PAYLOAD", "if-none-match": "*" } }),
        "PreconditionFailed",
      ],
      [await expecting({}, 17 * MIB), "EntityTooLarge"],
      [
        await expecting({ headers: { "x-amz-content-sha256": "UNSIGNED-PAYLOAD", "content-md5": "x" } }),
        "InvalidDigest",
      ],
    ] as const;
    for (const [head, code] of heads) {
      const wire = open();
      wire.write(head);
      await expect.poll(() => wire.text, WAIT).toContain(`<Code>${code}</Code>`);
      expect(wire.text).not.toContain("100 Continue");
      // Its body may or may not follow: what comes next would be anybody's guess.
      await expect.poll(() => wire.ended, WAIT).toBe(true);
    }
    expect((await registry.send("GET", "/code/wire")).text).toBe("there");
  });

  it("of another kind gets 417", async () => {
    const wire = open();
    wire.write(await signedHead({}, ["content-length: 5", "expect: a-miracle"]));
    await expect.poll(() => wire.statuses, WAIT).toEqual(["417"]);
  });
});

describe("a connection", () => {
  it("goes on after an error, also if a small body was not wanted", async () => {
    const wire = open();
    const bad = await signedHead({ path: "/not-there/a" }, ["content-length: 100000"]);
    wire.write(bad + "x".repeat(100_000) + (await signedHead({ method: "GET", path: "/code" })));
    await expect.poll(() => wire.statuses, WAIT).toEqual(["404", "200"]);
    expect(wire.ended).toBe(false);
  });

  it("with a large body that is not wanted shows the reply before it ends, though the client only sends", async () => {
    const wire = open();
    wire.write(await signedHead({ path: "/not-there/a" }, [`content-length: ${16 * MIB}`]));
    for (let sent = 0; sent < 16; sent += 1) {
      wire.write(Buffer.alloc(MIB));
      await new Promise(setImmediate);
    }
    await expect.poll(() => wire.text, WAIT).toContain("<Code>NoSuchBucket</Code>");
    expect(wire.text).toMatch(/connection: close/iu);
    await expect.poll(() => wire.ended, WAIT).toBe(true);
  });

  it("is not read for ever if a body that is not wanted does not end", async () => {
    const wire = open();
    wire.write(await signedHead({ path: "/not-there/a" }, ["transfer-encoding: chunked"]));
    const chunk = `100000\r\n${"x".repeat(MIB)}\r\n`;
    let sent = 0;
    await expect
      .poll(
        () => {
          if (!wire.ended && wire.socket.writableLength < MIB) {
            wire.write(chunk);
            sent += 1;
          }
          return wire.ended;
        },
        { ...WAIT, interval: 1 },
      )
      .toBe(true);
    expect(wire.text).toContain("<Code>MissingContentLength</Code>");
    // What it reads, and what the kernel holds.
    expect(sent).toBeLessThan(100);
  });

  it("is ended if its client is silent in the middle of a body", async () => {
    const wire = open();
    wire.write((await signedHead({}, ["content-length: 100"])) + "hello");
    await expect.poll(() => wire.text, WAIT).toContain("<Code>RequestTimeout</Code>");
    expect((await registry.send("GET", "/code/wire")).code).toBe("NoSuchKey");
    expect(await registry.temporaryFiles()).toBe(0);
  });

  it("is ended if its client does not read", async () => {
    const store = await registry.send("PUT", "/code/large", { body: Buffer.alloc(16 * MIB) });
    expect(store.status).toBe(200);
    const wire = open();
    wire.socket.pause();
    wire.write(await signedHead({ method: "GET", path: "/code/large" }));
    await expect.poll(() => registry.server.stats().requests.running, WAIT).toBe(1);
    await expect.poll(() => registry.server.stats().requests.running, WAIT).toBe(0);
  });

  it("is refused a header that does not come", async () => {
    const wire = open();
    wire.write("GET /code HTTP/1.1\r\nhost: x\r\n");
    await expect.poll(() => wire.text, { timeout: 30_000 }).toContain("<Code>RequestTimeout</Code>");
    expect(wire.statuses).toEqual(["408"]);
    await expect.poll(() => wire.ended, WAIT).toBe(true);
  });

  it("is refused a header that is too large, and what is no HTTP", async () => {
    const large = open();
    large.write(`GET /code HTTP/1.1\r\nhost: x\r\na: ${"x".repeat(40_000)}\r\n\r\n`);
    await expect.poll(() => large.statuses, WAIT).toEqual(["431"]);
    expect(large.text).toContain("<Code>RequestHeaderSectionTooLarge</Code>");
    const nonsense = open();
    nonsense.write("hello\r\n\r\n");
    await expect.poll(() => nonsense.statuses, WAIT).toEqual(["400"]);
  });

  it("is refused two lengths, or a length and chunks", async () => {
    for (const more of [
      ["content-length: 5", "content-length: 6"],
      ["content-length: 5", "transfer-encoding: chunked"],
    ]) {
      const wire = open();
      wire.write((await signedHead({}, more)) + "hello");
      await expect.poll(() => wire.statuses, WAIT).toEqual(["400"]);
    }
  });
});

describe("a server that closes", () => {
  it("finishes the requests that it has, takes no new ones, and ends their connections", async () => {
    const wire = open();
    wire.write((await signedHead({}, ["content-length: 10"])) + "hello");
    await expect.poll(() => registry.server.stats().requests.running, WAIT).toBe(1);
    const closing = registry.server.close();
    const late = open();
    await expect.poll(() => late.ended, WAIT).toBe(true);
    wire.write("world");
    await expect.poll(() => wire.statuses, WAIT).toEqual(["200"]);
    await expect.poll(() => wire.ended, WAIT).toBe(true);
    await closing;
    expect(registry.store.head("code", "wire").size).toBe(10);
  });

  it("at once breaks everything off", async () => {
    const wire = open();
    wire.write((await signedHead({}, ["content-length: 10"])) + "hello");
    await expect.poll(() => registry.server.stats().requests.running, WAIT).toBe(1);
    registry.server.destroy();
    await expect.poll(() => wire.ended, WAIT).toBe(true);
    await expect.poll(() => registry.temporaryFiles(), WAIT).toBe(0);
  });
});
