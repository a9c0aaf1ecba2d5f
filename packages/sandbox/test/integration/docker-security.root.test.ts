import path from "node:path";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import type { NetworkClass } from "@ol/common";

import { type Sandbox, SandboxPool } from "../../src/index.ts";
import { DockerPlace } from "../support/docker-place.ts";
import { layBait } from "./security/bait.ts";
import { Host, type Outcome, type ProbeEvent } from "./security/host.ts";
import { type Bait, eventOf, FAMILIES, type Probe } from "./security/probes.ts";

// That each probe can succeed at all is shown where the engine sock is probed (suite-probes.ts), with the same lambda.

const LIMITS = { memoryMb: 64, swappiness: 0, procs: 10, cpuPercent: 200, logMb: 1, scratchMb: 4 };
const CALL_MS = 60_000;
const MAKE_MS = 120_000;

/** What a container may do and a sandbox of the other engine may not, and why that harms nobody. */
const ALLOWED: Readonly<Record<string, string>> = {
  "open anything in /proc for writing": "the daemon masks or mounts read-only what does harm there",
  "see more of the root than belongs there": "the root is the image's",
  "see devices that are not harmless": "it has a terminal's and message queues of its own",
  "see /sys": "read-only, as in every container",
  "make others be killed first when memory runs out":
    "in its own limit, by the one point that the kernel lets it",
};

/** What sharing gives up besides. */
const ALLOWED_SHARED: Readonly<Record<string, string>> = {
  ...ALLOWED,
  "see processes of others": "those of its own lambda, and the one that they are forked from",
  "signal processes of others": "the first process hears none, and what it can end are its siblings",
};

type Share = "off" | "lambda";

let place: DockerPlace;
let host: Host;
let bait: Bait;
let removeBait: () => Promise<void>;
let pools: Readonly<Record<Share, SandboxPool>>;
const engines: Awaited<ReturnType<DockerPlace["engine"]>>[] = [];
const sandboxes = new Map<string, Sandbox>();

beforeAll(async () => {
  [place, host] = await Promise.all([DockerPlace.make("docker"), Host.open("root")]);
  ({ bait, remove: removeBait } = await layBait(host));
  pools = { off: await makePool("off"), lambda: await makePool("lambda") };
}, MAKE_MS);

afterAll(async () => {
  for (const pool of Object.values(pools ?? {})) await pool.close();
  for (const engine of engines) await engine.close();
  await removeBait?.();
  await host?.[Symbol.asyncDispose]();
  await place?.[Symbol.asyncDispose]();
}, MAKE_MS);

const makePool = async (share: Share): Promise<SandboxPool> => {
  const codeDir = path.join(host.directory, "code");
  const workDir = path.join(place.directory, share);
  const engine = await place.engine({ codeDir, share, workDir, workerName: share });
  engines.push(engine);
  return SandboxPool.create({ engine, memoryMb: 4_096, createMs: 60_000 });
};

const sandboxOf = async (network: NetworkClass, share: Share): Promise<Sandbox> => {
  const key = `${network} ${share}`;
  const known = sandboxes.get(key);
  if (known !== undefined && known.ended === undefined) return known;
  const made = await pools[share].acquire({
    name: "probes",
    code: "probes",
    network,
    environment: {},
    limits: LIMITS,
  });
  sandboxes.set(key, made);
  return made;
};

const probeIn = async (network: NetworkClass, event: ProbeEvent, share: Share = "off"): Promise<Outcome> => {
  const sandbox = await sandboxOf(network, share);
  try {
    const reply = await sandbox.call({
      invocationId: "probe",
      body: Buffer.from(JSON.stringify(event)),
      timeoutMs: CALL_MS,
    });
    return JSON.parse(reply.body.toString()) as Outcome;
  } catch (error) {
    return { succeeded: false, detail: String(error) };
  }
};

/** What could be done that must not be, and probes that broke; without those that `isOpen` lets through. */
const violations = async (
  network: NetworkClass,
  isOpen: (probe: Probe) => boolean,
  share: Share = "off",
): Promise<string[]> => {
  const allowed = share === "off" ? ALLOWED : ALLOWED_SHARED;
  const found: string[] = [];
  for (const { name, probes } of FAMILIES)
    for (const probe of probes) {
      if (isOpen(probe) || probe.title in allowed) continue;
      const { succeeded, broken, detail } = await probeIn(network, eventOf(probe.event, bait), share);
      if (succeeded || broken === true) found.push(`${name}: ${probe.title}: ${JSON.stringify(detail)}`);
    }
  return found;
};

const isOpenInNone = ({ open = [] }: Probe): boolean => open.includes("none");

const isOpenInHost = ({ open = [], withoutScopes = [] }: Probe): boolean =>
  [...open, ...withoutScopes].includes("host");

describe("a lambda in a container", () => {
  it("cannot do what a sandbox must not let it do (network none)", async () => {
    expect(await violations("none", isOpenInNone)).toEqual([]);
  }, 300_000);

  it("cannot do it with network host either, but for what that is there for", async () => {
    expect(await violations("host", isOpenInHost)).toEqual([]);
  }, 300_000);

  it("cannot do it where sandboxes of its own lambda share the container either, but see the first process", async () => {
    expect(await violations("none", isOpenInNone, "lambda")).toEqual([]);
    expect(await violations("host", isOpenInHost, "lambda")).toEqual([]);
  }, 300_000);

  it("cannot reach the daemon, whose socket whoever starts containers can", async () => {
    const event = { probe: "path-socket", path: place.daemon.socket, greeting: "" };
    expect((await probeIn("host", event)).detail).toMatch(/^ENOENT/u);
    // The control: here it is, and takes a connection, only that it does not speak first.
    expect((await host.probeOutside(event, "root")).detail).toMatch(/timed out/u);
  });
});
