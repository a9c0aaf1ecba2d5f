import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { scaled } from "../support/scale.ts";
import { GREETING, OUTSIDE, PORT, TestNetwork } from "../support/network.ts";
import { Host, type ProbeEvent } from "./security/host.ts";
import { childrenOf } from "./security/processes.ts";

const CYCLES = scaled(20, 1000);
const UNAVAILABLE = /OL_SANDBOX_NETWORK_UNAVAILABLE: network outbound/;
const DONE = { succeeded: true, detail: expect.anything() };
const REFUSED = { succeeded: false, detail: expect.anything() };

const outside: ProbeEvent = {
  probe: "loopback-port",
  address: OUTSIDE.v4,
  port: PORT,
  greeting: GREETING.outside,
};
const loopback: ProbeEvent = { ...outside, address: "127.0.0.1", greeting: GREETING.machine };

let network: TestNetwork;
let host: Host;

beforeAll(async () => {
  network = await TestNetwork.open();
  host = await Host.open("root", network.machine.prefix);
});

afterAll(async () => {
  await host[Symbol.asyncDispose]();
  await network[Symbol.asyncDispose]();
});

/** Tables of workers, not those of the test's own. */
const tables = async (): Promise<readonly string[]> =>
  (await network.tables()).filter((line) => line.startsWith("table inet ol-"));

const rules = (): Promise<string> => network.machine.run("nft", "-a", "list", "ruleset");

const nftOf = async (brokerPid: number): Promise<number> => {
  const found = (await childrenOf(brokerPid)).find(({ name }) => name === "nft");
  if (found === undefined) throw new Error("the broker has no nft");
  return found.pid;
};

describe("the packet filter of network outbound", () => {
  it("is one table of each worker, from its first such sandbox until its end", async () => {
    const first = await host.engine();
    await using second = await host.engine();
    expect(await first.probe("host", loopback)).toEqual(DONE);
    expect(await tables()).toEqual([]);
    expect(await first.probe("outbound", outside)).toEqual(DONE);
    const [table] = await tables();
    expect(await tables()).toHaveLength(1);
    const sandbox = await second.sandbox("outbound");
    expect(await tables()).toHaveLength(2);
    await first[Symbol.asyncDispose]();
    expect(await tables()).toHaveLength(1);
    expect(await tables()).not.toContain(table);
    expect(await sandbox.probe(outside)).toEqual(DONE);
    expect(await sandbox.probe(loopback)).toEqual(REFUSED);
    await sandbox.destroy();
  });

  it("cannot be taken away by other programs, not even by a flush of everything", async () => {
    await using engine = await host.engine();
    const sandbox = await engine.sandbox("outbound");
    const [table = ""] = await tables();
    await expect(network.machine.run("nft", "delete", ...table.split(" "))).rejects.toThrow(/not permitted/);
    await network.machine.run("nft", "flush", "ruleset");
    expect(await tables()).toEqual([table]);
    expect(await sandbox.probe(loopback)).toEqual(REFUSED);
    await sandbox.destroy();
  });

  it(`is the same after ${CYCLES} sandboxes`, async () => {
    await using engine = await host.engine();
    await (await engine.sandbox("outbound")).destroy();
    const before = await rules();
    expect(before).toContain("table inet ol-");
    for (let made = 0; made < CYCLES; made += 1)
      await (await engine.sandbox(made % 2 === 0 ? "outbound" : "host")).destroy();
    expect(await rules()).toBe(before);
  }, 240_000);

  it("is gone with a broker that was killed", async () => {
    const engine = await host.engine();
    await engine.sandbox("outbound");
    expect(await tables()).toHaveLength(1);
    process.kill(engine.brokerPid, "SIGKILL");
    await expect.poll(tables, { timeout: 10_000 }).toEqual([]);
    await engine[Symbol.asyncDispose]();
    // Removes what the dead one could not.
    await using next = await host.engine([], [], engine.workDir);
    expect(await tables()).toEqual([]);
    expect(next.brokerPid).not.toBe(engine.brokerPid);
  });

  it("ends the sandboxes that depend on it when it is lost, no others, and is there again for the next", async () => {
    await using engine = await host.engine();
    const left = await engine.sandbox("outbound");
    const other = await engine.sandbox("host");
    const plain = { packages: ["plain"], modules: ["ol_plain"] };
    for (const of of ["outbound", "host"] as const)
      expect(await engine.createZygote(of, { ...plain, network: of })).toBeUndefined();
    process.kill(await nftOf(engine.brokerPid), "SIGKILL");
    await expect.poll(async () => (await left.probe({ probe: "sys" })).error?.code).toBeDefined();
    const message = expect.stringContaining("nft, which held the rules of network outbound, ended");
    expect(await left.destroy()).toEqual({ reason: "lost", message });
    expect(await engine.zygoteExit("outbound")).toEqual({ reason: "lost", message });
    await (await engine.sandbox("host", { zygote: "host" })).destroy();
    expect(await other.probe(loopback)).toEqual(DONE);
    expect(await engine.probe("outbound", loopback)).toEqual(REFUSED);
    expect(await engine.probe("outbound", outside)).toEqual(DONE);
    expect(await tables()).toHaveLength(1);
    await other.destroy();
  });
});

describe("a machine without what it takes", () => {
  it.each([
    ["where there is no nft", "", 0o644, /there is no nft/],
    ["where nft fails", "#!/bin/sh\necho 'Error: no such kernel' >&2\n", 0o755, /nft: Error: no such kernel/],
    ["where nft ends without a word", "#!/bin/sh\n", 0o755, /it ended without a word/],
  ])("refuses network outbound %s, and nothing else", async (_where, program, mode, reason) => {
    const directory = await mkdtemp(path.join(tmpdir(), "ol-no-nft-"));
    const file = path.join(directory, "nft");
    await writeFile(file, program, { mode });
    const script = 'mount --bind "$1" "$(command -v nft)" && shift && exec "$@"';
    const prefix = [...network.machine.prefix, "unshare", "--mount", "sh", "-c", script, "sh", file];
    {
      await using poor = await Host.open("root", prefix);
      await using engine = await poor.engine();
      await expect(engine.probe("outbound", outside)).rejects.toThrow(UNAVAILABLE);
      await expect(engine.probe("outbound", outside)).rejects.toThrow(reason);
      expect(await engine.probe("host", outside)).toEqual(DONE);
      expect(await tables()).toEqual([]);
    }
    await rm(directory, { recursive: true });
  });

  it("refuses network outbound with a worker run by an ordinary user", async () => {
    await using poor = await Host.open("rootless");
    await using engine = await poor.engine();
    await expect(engine.probe("outbound", outside)).rejects.toThrow(UNAVAILABLE);
    await expect(engine.probe("outbound", outside)).rejects.toThrow(
      /needs a worker that was started by root/,
    );
    expect(await engine.probe("none", { probe: "sys" })).toEqual(REFUSED);
  });
});
