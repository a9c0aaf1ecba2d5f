import { once } from "node:events";
import { readFileSync } from "node:fs";
import { type AddressInfo, type Server, createServer } from "node:net";

import { describe, expect, it, onTestFinished } from "vitest";

import { freePorts } from "../../src/index.ts";

const listening = async (port: number, host = "127.0.0.1"): Promise<Server> => {
  const server = createServer().listen(port, host);
  onTestFinished(() => void server.close());
  await once(server, "listening");
  return server;
};

describe("free ports", () => {
  it("are in a row, and nobody listens on them", async () => {
    const first = await freePorts(5);
    const servers = [0, 1, 2, 3, 4].map((at) => listening(first + at));
    await expect(Promise.all(servers)).resolves.toHaveLength(5);
  });

  it("are given to one only, also while many ask", async () => {
    const firsts = await Promise.all(Array.from({ length: 100 }, () => freePorts(3)));
    expect(new Set(firsts.flatMap((first) => [first, first + 1, first + 2])).size).toBe(300);
  });

  it("are none that the kernel gives to whoever asks for any", async () => {
    const text = readFileSync("/proc/sys/net/ipv4/ip_local_port_range", "utf8");
    const [lowest = 0, highest = 0] = text.trim().split(/\s+/u).map(Number);
    const given = ((await listening(0)).address() as AddressInfo).port;
    expect(given).toBeGreaterThanOrEqual(lowest);
    // A machine may be told to give nearly all.
    const isLeft = Math.max(lowest - 10_000, 65_535 - highest) > 1_000;
    for (let round = 0; round < 20; round += 1) {
      const port = await freePorts();
      expect(!isLeft || port < lowest || port > highest).toBe(true);
    }
  });
});
