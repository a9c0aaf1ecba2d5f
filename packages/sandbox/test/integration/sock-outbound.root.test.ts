import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import type { NetworkClass } from "@ol/common";

import { GREETING, MACHINE, OUTSIDE, PORT, TRANSLATED, TestNetwork } from "../support/network.ts";
import { type Engine, Host, type Outcome, type ProbeEvent, type ProbedSandbox } from "./security/host.ts";
import { attributeOf } from "./security/zygote-kit.ts";

const REFUSED = { succeeded: false, detail: expect.anything() };
const DONE = { succeeded: true, detail: expect.anything() };
const NAME = "somewhere.example";

const tcp = (address: string, greeting: string = GREETING.machine): ProbeEvent => ({
  probe: "loopback-port",
  address,
  port: PORT,
  greeting,
});
const udp = (address: string, greeting: string = GREETING.machine): ProbeEvent => ({
  ...tcp(address, greeting),
  probe: "datagram",
});

// Each with whether a sandbox of network host gets an answer there: the control.
const REFUSALS: readonly (readonly [string, ProbeEvent])[] = [
  ["TCP to 127.0.0.1", tcp("127.0.0.1")],
  ["UDP to 127.0.0.1", udp("127.0.0.1")],
  ["TCP to another address of loopback", tcp("127.99.0.1")],
  ["TCP to 0.0.0.0", tcp("0.0.0.0")],
  ["TCP to ::1", tcp("::1")],
  ["UDP to ::1", udp("::1")],
  ["TCP to ::ffff:127.0.0.1", tcp("::ffff:127.0.0.1")],
  ["TCP to the machine's IPv4 address", tcp(MACHINE.v4)],
  ["UDP to the machine's IPv4 address", udp(MACHINE.v4)],
  ["TCP to the machine's IPv6 address", tcp(MACHINE.v6)],
  ["UDP to the machine's IPv6 address", udp(MACHINE.v6)],
  ["TCP to a cloud's metadata address", tcp("169.254.169.254", GREETING.outside)],
  ["UDP to a cloud's metadata address", udp("169.254.169.254", GREETING.outside)],
  ["TCP to a neighbour's link-local address", tcp(`${OUTSIDE.linkLocal}%cable`, GREETING.outside)],
  ["UDP to a neighbour's link-local address", udp(`${OUTSIDE.linkLocal}%cable`, GREETING.outside)],
  ["UDP by broadcast, which the machine itself hears", udp("10.77.0.255")],
  ["TCP to an address that is translated to the machine's own", tcp(TRANSLATED.foreign)],
  ["TCP to an own address that is translated to another machine's", tcp(TRANSLATED.own, GREETING.outside)],
];

const FILE = fileURLToPath(new URL("../handlers/probes/f.py", import.meta.url));

let network: TestNetwork;
let directory: string;
let host: Host;
let engine: Engine;

/** What, put before a worker's command, has it run on the test's machine, with this name server and others upstream. */
const onMachine = async (nameserver: string, upstream?: string): Promise<readonly string[]> => {
  const place = await mkdtemp(path.join(directory, "etc-"));
  await writeFile(
    path.join(place, "resolv.conf"),
    `nameserver ${nameserver}\noptions timeout:1 attempts:1\n`,
  );
  const steps = ['cd "$1"', "mount --bind resolv.conf /etc/resolv.conf"];
  if (upstream !== undefined) {
    await writeFile(path.join(place, "upstream"), `nameserver ${upstream}\n`);
    // A /run of its own, but for the one file in which all workers of this machine claim their user ids.
    steps.push("mkdir run", "mount -t tmpfs none run", "touch /run/ol-uids.lock run/ol-uids.lock");
    steps.push("mount --bind /run/ol-uids.lock run/ol-uids.lock", "mkdir -p run/systemd/resolve");
    steps.push("cp upstream run/systemd/resolve/resolv.conf", "mount -n --move run /run");
  }
  const script = [...steps, "shift", 'exec "$@"'].join(" && ");
  return [...network.machine.prefix, "unshare", "--mount", "sh", "-c", script, "sh", place];
};

beforeAll(async () => {
  network = await TestNetwork.open();
  directory = await mkdtemp(path.join(tmpdir(), "ol-outbound-"));
  host = await Host.open("root", await onMachine(OUTSIDE.v4));
  engine = await host.engine();
});

afterAll(async () => {
  await host[Symbol.asyncDispose]();
  await network[Symbol.asyncDispose]();
  await rm(directory, { recursive: true });
});

const probe = (of: NetworkClass, event: ProbeEvent): Promise<Outcome> => engine.probe(of, event);

/** Whether a sandbox's resolv.conf names that server. */
const asked = (nameserver: string): ProbeEvent => ({
  probe: "text-in-files",
  text: `nameserver ${nameserver}`,
  paths: ["/etc/resolv.conf"],
});

/** The same probe, outside every sandbox. */
const probeFrom = async (where: "machine" | "outside", event: ProbeEvent): Promise<Outcome> =>
  JSON.parse(await network[where].run("python3", "-B", FILE, JSON.stringify(event))) as Outcome;

describe("a sandbox with network outbound", () => {
  it.each([
    ["TCP", tcp(OUTSIDE.v4, GREETING.outside)],
    ["UDP", udp(OUTSIDE.v4, GREETING.outside)],
    ["TCP over IPv6", tcp(OUTSIDE.v6, GREETING.outside)],
    ["UDP over IPv6", udp(OUTSIDE.v6, GREETING.outside)],
    ["names", { probe: "resolve", name: NAME, address: OUTSIDE.v4 }],
  ])("reaches other machines: %s", async (_what, event) => {
    expect(await probe("outbound", event)).toEqual(DONE);
  });

  describe("like every other", () => {
    let outbound: ProbedSandbox;
    let control: ProbedSandbox;

    beforeAll(async () => {
      outbound = await engine.sandbox("outbound");
      control = await engine.sandbox("host");
    });

    it.each(REFUSALS)("is refused %s, which network host reaches", async (_what, event) => {
      expect(await outbound.probe(event)).toEqual(REFUSED);
      expect(await control.probe(event)).toEqual(DONE);
    });
  });

  it("serves nobody: not the machine, not others, not its siblings; network host serves all of them", async () => {
    for (const [of, answer] of [
      ["outbound", REFUSED],
      ["host", DONE],
    ] as const) {
      const port = of === "host" ? 20_001 : 20_002;
      const greeting = `hello from ${of}`;
      const server = await engine.sandbox(of);
      expect(await server.probe({ probe: "serve-everywhere", port, greeting })).toEqual(DONE);
      const at = (address: string, kind: string): ProbeEvent => ({ probe: kind, address, port, greeting });
      // At once, since what is not answered takes its time.
      const attempts = ["loopback-port", "datagram"].flatMap((kind) => [
        probeFrom("machine", at("127.0.0.1", kind)),
        probeFrom("machine", at("::1", kind)),
        probeFrom("outside", at(MACHINE.v4, kind)),
        probeFrom("outside", at(MACHINE.v6, kind)),
        probe("host", at("127.0.0.1", kind)),
      ]);
      for (const outcome of await Promise.all(attempts)) expect(outcome).toEqual(answer);
      expect(await probe("outbound", at("127.0.0.1", "loopback-port"))).toEqual(REFUSED);
      await server.destroy();
    }
  });

  it("has import code refused the same in its zygotes", async () => {
    const events = [...REFUSALS.map(([, event]) => event), tcp(OUTSIDE.v4, GREETING.outside)];
    await writeFile(path.join(host.directory, "packages/hostile/events.json"), JSON.stringify(events));
    const spec = { packages: ["hostile", "probes"], modules: ["ol_probes"] };
    expect(await engine.createZygote("import-code", { ...spec, network: "outbound" })).toBeUndefined();
    const report = { module: "ol_probes", attribute: "REPORT" };
    const outcomes = (await attributeOf(engine, "import-code", report, "outbound")) as Outcome[];
    expect(outcomes).toEqual([...REFUSALS.map(() => REFUSED), DONE]);
  });

  it("asks a name server on loopback, and nothing else there, where the machine knows no other", async () => {
    await network.serve(network.machine, "not asked for", 20_003, "192.0.2.9");
    await using own = await Host.open("root", await onMachine("127.0.0.1"));
    await using other = await own.engine();
    const sandbox = await other.sandbox("outbound");
    expect(await sandbox.probe({ probe: "resolve", name: NAME, address: "192.0.2.9" })).toEqual(DONE);
    expect(await sandbox.probe(tcp("127.0.0.1"))).toEqual(REFUSED);
    const elsewhere = { ...tcp("127.0.0.2", ""), port: 53 };
    expect(await sandbox.probe(elsewhere)).toEqual(REFUSED);
    await sandbox.destroy();
  });

  it("asks the name servers that systemd's asks where that one is on loopback; network host does not", async () => {
    await using own = await Host.open("root", await onMachine("127.0.0.53", OUTSIDE.v4));
    await using other = await own.engine();
    expect(await other.probe("outbound", { probe: "resolve", name: NAME, address: OUTSIDE.v4 })).toEqual(
      DONE,
    );
    expect(await other.probe("outbound", asked("127.0.0.53"))).toEqual(REFUSED);
    expect(await other.probe("outbound", asked(OUTSIDE.v4))).toEqual(DONE);
    expect(await other.probe("host", asked("127.0.0.53"))).toEqual(DONE);
  });
});
