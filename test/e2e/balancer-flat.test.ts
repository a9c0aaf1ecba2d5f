import { createServer, type Server } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { type BalancerProcess, startBalancerProcess } from "./support/balancer-process.ts";

const SOAK = process.env["OL_TEST_SOAK"] === "1";
const ABORTED = SOAK ? 1_000_000 : 20_000;
const IDLE = SOAK ? 10_000 : 1_000;
const SLOW = SOAK ? 1_000 : 100;
const AT_ONCE = 50;
const MIB = 1024 * 1024;
/** A leak of a hundred bytes a request would be more, in the soak. */
const HELD_BYTES = 4 * MIB;
/** Beyond this it is no noise of the allocator's. */
const GROWTH_BYTES = 96 * MIB;

/** What a client does before it leaves. */
const LEAVING: readonly string[] = [
  "",
  "GET /run/slow HT",
  "GET /run/slow HTTP/1.1\r\nHost: a\r\n\r\n",
  "GET /run/endless HTTP/1.1\r\nHost: a\r\n\r\n",
  "POST /run/slow HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf",
  `POST /run/slow HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n${"a".repeat(70_000)}`,
  "POST /run/slow HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
  "GET /run/slow HTTP/1.1\r\nHost: a\r\n\r\n".repeat(3),
];

const failed = (error: unknown): string => String(error);

describe("a balancer process", () => {
  let server: Server;
  let balancer: BalancerProcess;

  beforeAll(async () => {
    server = createServer((request, response) => {
      request.resume();
      if (request.url === "/run/quick") response.end("quick");
      else if (request.url === "/run/endless") {
        const timer = setInterval(() => response.write("more"), 5);
        response.on("close", () => clearInterval(timer));
      } else if (request.url === "/run/large") response.end(Buffer.alloc(8 * MIB));
      else if (request.url?.startsWith("/run/") === true) setTimeout(() => response.end("slow"), 20);
      else response.end("ready");
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const worker = { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, slots: SLOW };
    balancer = await startBalancerProcess([], { workers: [worker], limits: { connections: 20_000 } });
  });
  afterAll(async () => {
    await balancer[Symbol.asyncDispose]();
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    server.closeAllConnections();
    await closed;
  });

  const quick = async (): Promise<string> =>
    (await fetch(`http://127.0.0.1:${balancer.port}/run/quick`)).text().catch(failed);

  const stats = async (): Promise<{
    open: number;
    connections: number;
    keptBytes: number;
    dispatcher: { live: number };
  }> => (await (await fetch(`http://127.0.0.1:${balancer.port}/stats`)).json()) as never;

  const abort = (at: number): Promise<void> =>
    new Promise((resolve) => {
      const socket = connect({ port: balancer.port, host: "127.0.0.1" });
      socket.on("error", () => undefined);
      socket.on("close", () => resolve());
      socket.on("connect", () => {
        socket.write(LEAVING[at % LEAVING.length] ?? "");
        // Some leave at once, some while they are served.
        setTimeout(() => (at % 3 === 0 ? socket.resetAndDestroy() : socket.destroy()), at % 7);
      });
    });

  const abortMany = async (count: number): Promise<void> => {
    let next = 0;
    await Promise.all(
      Array.from({ length: AT_ONCE }, async () => {
        while (next < count) await abort(next++);
      }),
    );
  };

  const quiet = async (): Promise<void> => {
    await expect
      .poll(
        async () => {
          const { open, dispatcher, keptBytes } = await stats();
          return [open, dispatcher.live, keptBytes];
        },
        { timeout: 60_000 },
      )
      .toEqual([0, 0, 0]);
  };

  it(
    `is the same after ${ABORTED} requests whose clients left`,
    async () => {
      await abortMany(2_000);
      await quiet();
      const held = await balancer.heldBytes();
      const [resident, descriptors] = [await balancer.residentBytes(), await balancer.descriptors()];
      await abortMany(ABORTED);
      await quiet();
      expect((await balancer.heldBytes()) - held).toBeLessThan(HELD_BYTES);
      expect((await balancer.residentBytes()) - resident).toBeLessThan(GROWTH_BYTES);
      // Idle connections to the worker come and go.
      expect((await balancer.descriptors()) - descriptors).toBeLessThan(AT_ONCE * 2);
      expect(await quick()).toBe("quick");
    },
    SOAK ? 7_200_000 : 180_000,
  );

  it(
    `holds ${IDLE} idle and ${SLOW} slow connections, and serves others meanwhile`,
    async () => {
      const before = await balancer.residentBytes();
      const sockets: Socket[] = [];
      const open = (text: string): Promise<void> =>
        new Promise((resolve, reject) => {
          const socket = connect({ port: balancer.port, host: "127.0.0.1" });
          socket.on("error", reject);
          socket.write(text, () => resolve());
          sockets.push(socket);
        });
      for (let at = 0; at < IDLE; at += 1) await open("GET /run/quick HTTP/1.1\r\nHost: a\r\n\r\n");
      // They take 8 MiB each, and read none of it.
      for (let at = 0; at < SLOW; at += 1) {
        await open("GET /run/large HTTP/1.1\r\nHost: a\r\n\r\n");
        sockets.at(-1)?.pause();
      }
      await expect
        .poll(async () => (await stats()).connections, { timeout: 60_000 })
        .toBeGreaterThanOrEqual(IDLE + SLOW);
      for (let round = 0; round < 20; round += 1) expect(await quick()).toBe("quick");
      const held = await balancer.residentBytes();
      // Buffers of a slow one: what is read from its worker and not written yet.
      expect(held - before).toBeLessThan(GROWTH_BYTES + IDLE * 24 * 1024 + SLOW * 512 * 1024);
      for (const socket of sockets) socket.destroy();
      await quiet();
      expect(await quick()).toBe("quick");
    },
    SOAK ? 600_000 : 180_000,
  );
});
