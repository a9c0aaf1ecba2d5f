import { randomBytes, randomInt } from "node:crypto";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { freePorts } from "@ol/common";

import { hasLandlockScopes } from "./bait.ts";
import { type Engine, Host, type Mode, type ProbeEvent, type ProbedSandbox } from "./host.ts";

const REFUSED = { succeeded: false, detail: expect.anything() };
const DONE = { succeeded: true, detail: expect.anything() };

interface Secrets {
  readonly events: Readonly<Record<string, ProbeEvent>>;
  readonly name: string;
}

/** One sandbox makes something, another looks for it; the maker finding it is the control. */
export const describeSiblings = (mode: Mode): void => {
  describe("two sandboxes of one engine", () => {
    let host: Host;
    let engine: Engine;

    beforeAll(async () => {
      host = await Host.open(mode);
      engine = await host.engine();
    });

    afterAll(() => host[Symbol.asyncDispose]());

    it.each(["none", "host"] as const)(
      "do not see each other's memory, queues and files (network %s)",
      async (network) => {
        const { maker, other, events } = await pair(engine, network);
        for (const [what, event] of Object.entries(events).filter(([, { probe }]) => !NETWORK.has(probe))) {
          expect(await maker.probe(event), `the maker's ${what}`).toEqual(DONE);
          expect(await other.probe(event), `the other's ${what}`).toEqual(REFUSED);
        }
        await Promise.all([maker.destroy(), other.destroy()]);
      },
    );

    it("do not reach each other's servers without a network", async () => {
      const { maker, other, events } = await pair(engine, "none");
      for (const what of ["loopback", "abstract", "descriptors"]) {
        const event = events[what] as ProbeEvent;
        expect(await maker.probe(event), `the maker's ${what}`).toEqual(DONE);
        expect(await other.probe(event), `the other's ${what}`).toEqual(REFUSED);
      }
      await Promise.all([maker.destroy(), other.destroy()]);
    });

    it("reach each other's ports on the host's network, as documented, and where the kernel can tell them apart no abstract sockets", async () => {
      const { maker, other, events } = await pair(engine, "host");
      expect(await other.probe(events["loopback"] as ProbeEvent)).toEqual(DONE);
      for (const what of ["abstract", "descriptors"])
        expect(await other.probe(events[what] as ProbeEvent)).toEqual(hasLandlockScopes() ? REFUSED : DONE);
      await Promise.all([maker.destroy(), other.destroy()]);
    });

    it("could hand each other descriptors, and so memory past their limits, without Landlock", async () => {
      await using weakened = await host.engine(["landlock"]);
      const { maker, other, events } = await pair(weakened, "host");
      expect(await other.probe(events["descriptors"] as ProbeEvent)).toEqual(DONE);
      await Promise.all([maker.destroy(), other.destroy()]);
    });

    it("do not see the worker's environment", async () => {
      const secret = "a-secret-of-the-worker";
      const paths = ["/proc/self/environ", "/proc/1/environ", "/proc/self/cmdline", "/proc/1/cmdline"];
      const sandbox = await engine.sandbox("none");
      expect(await sandbox.probe({ probe: "text-in-environment", text: secret })).toEqual(REFUSED);
      expect(await sandbox.probe({ probe: "text-in-files", text: secret, paths })).toEqual(REFUSED);
      await sandbox.destroy();
      const told = await engine.sandbox("none", { environment: { TOLD: secret } });
      expect(await told.probe({ probe: "text-in-environment", text: secret })).toEqual(DONE);
      await told.destroy();
    });

    it("see the host's paths nowhere but in the list of mounts, as documented", async () => {
      const sandbox = await engine.sandbox("host");
      const text = engine.workDir;
      const files = ["maps", "cmdline", "environ", "cgroup", "mounts"].map((name) => `/proc/self/${name}`);
      expect(await sandbox.probe({ probe: "text-in-links", text })).toEqual(REFUSED);
      expect(await sandbox.probe({ probe: "text-in-files", text, paths: files })).toEqual(REFUSED);
      const mounts = { probe: "text-in-files", text: `/${sandbox.id}`, paths: ["/proc/self/mountinfo"] };
      expect(await sandbox.probe(mounts)).toEqual(DONE);
      await sandbox.destroy();
    });

    it("hold no descriptors but the standard ones and the connection", async () => {
      const sandbox = await engine.sandbox("host");
      expect(await sandbox.probe({ probe: "descriptors" })).toEqual({
        succeeded: false,
        detail: {
          0: "/dev/null",
          1: "/host/stdout",
          2: "/host/stderr",
          4: expect.stringMatching(/^socket:/),
        },
      });
      // What is left open is found.
      await sandbox.probe({ probe: "serve", port: 0, name: `leak-${sandbox.id}`, greeting: "" });
      expect(await sandbox.probe({ probe: "descriptors" })).toEqual(DONE);
      await sandbox.destroy();
    });
  });
};

const NETWORK = new Set(["loopback-port", "abstract-socket", "receive-descriptor"]);

/** Two sandboxes, the first of which has made one of each thing that could be shared. */
const pair = async (
  engine: Engine,
  network: "none" | "host",
): Promise<{ maker: ProbedSandbox; other: ProbedSandbox; events: Secrets["events"] }> => {
  const maker = await engine.sandbox(network);
  const other = await engine.sandbox(network);
  const { name, events } = await secrets();
  const { key, content, directories } = events["files"] as ProbeEvent & Record<string, unknown>;
  expect(await maker.probe({ probe: "make-objects", key, name, content, directories })).toEqual(DONE);
  const { port, greeting } = events["loopback"] as ProbeEvent & Record<string, unknown>;
  expect(await maker.probe({ probe: "serve", port, greeting, name })).toEqual(DONE);
  expect(await maker.probe({ probe: "serve-descriptor", name: `${name}-fd` })).toEqual(DONE);
  return { maker, other, events };
};

const secrets = async (): Promise<Secrets> => {
  const name = `ol-${randomBytes(6).toString("hex")}`;
  const content = `made by ${name}`;
  const key = randomInt(1, 2 ** 30);
  const port = await freePorts();
  const directories = ["/tmp", "/dev/shm", "/host"];
  return {
    name,
    events: {
      "shared memory": { probe: "shared-memory", key, content },
      "message queue": { probe: "message-queue", name },
      files: { probe: "shared-directories", name, content, directories, key },
      loopback: { probe: "loopback-port", address: "127.0.0.1", port, greeting: content },
      abstract: { probe: "abstract-socket", name, greeting: content },
      descriptors: { probe: "receive-descriptor", name: `${name}-fd` },
    },
  };
};
