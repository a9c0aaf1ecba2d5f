import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

import { freePorts } from "@ol/common";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import type { DockerEngineOptions } from "../../src/docker/options.ts";
import { SandboxPool } from "../../src/index.ts";
import { makeCertificates } from "../support/certificates.ts";
import { removeAll } from "../support/cluster.ts";
import { DockerPlace, MAKE_MS } from "../support/docker-place.ts";
import { SLOWNESS } from "../support/scale.ts";

const CALL_MS = 30_000 * SLOWNESS;
const LIMITS = { memoryMb: 64, swappiness: 0, procs: 10, cpuPercent: 200, logMb: 1, scratchMb: 4 };
/** Notes what it is called with, and leaves the rest to the usual one. */
const OTHER_RUNTIME = `#!/bin/sh
echo "$@" >> "$0.calls"
exec runc "$@"
`;

let place: DockerPlace;
let keys: string;
let foreignKeys: string;
let host: string;

beforeAll(async () => {
  keys = mkdtempSync(path.join(tmpdir(), "ol-keys-"));
  foreignKeys = mkdtempSync(path.join(tmpdir(), "ol-keys-"));
  makeCertificates(keys);
  makeCertificates(foreignKeys);
  writeFileSync(path.join(keys, "other"), OTHER_RUNTIME, { mode: 0o755 });
  const port = await freePorts();
  host = `tcp://127.0.0.1:${port}`;
  place = await DockerPlace.make("docker", {
    tls: { port, directory: keys },
    runtimes: { other: path.join(keys, "other"), broken: "/bin/false" },
  });
}, MAKE_MS);

afterAll(async () => {
  await place[Symbol.asyncDispose]();
  removeAll(keys);
  removeAll(foreignKeys);
}, MAKE_MS);

/** Has a sandbox of such an engine answer, be paused, and go on. */
const useOf = async (options: Partial<DockerEngineOptions>): Promise<unknown> => {
  await using engine = await place.engine(options);
  await using pool = SandboxPool.create({ engine, memoryMb: 500, createMs: CALL_MS });
  const spec = { name: "echo", code: "echo", network: "none" as const, environment: {}, limits: LIMITS };
  const sandbox = await pool.acquire(spec, { deadlineMs: CALL_MS });
  await sandbox.pause();
  await sandbox.resume();
  const body = Buffer.from('{"hello":1}');
  const reply = await sandbox.call({ invocationId: "call", body, timeoutMs: CALL_MS });
  await sandbox.destroy();
  return JSON.parse(reply.body.toString());
};

describe("a daemon that wants TLS", () => {
  it("is used as the configuration says, and as the environment of docker says", async () => {
    expect(await useOf({ daemon: { host, certPath: keys } })).toEqual({ hello: 1 });
    const environment = { DOCKER_HOST: host, DOCKER_TLS_VERIFY: "1", DOCKER_CERT_PATH: keys };
    expect(await useOf({ daemon: { environment } })).toEqual({ hello: 1 });
  });

  it.each([
    ["no certificate", () => ({ host }), /is spoken to by TLS only: name the directory/u],
    ["those of another authority", () => ({ host, certPath: foreignKeys }), /certificate/u],
  ])("refuses who has %s, in one line that names the daemon", async (_what, daemon, why) => {
    const error = await place.engine({ daemon: daemon() }).then(
      () => undefined,
      (reason: unknown) => reason as Error,
    );
    expect(error).toMatchObject({ code: "OL_SANDBOX_DAEMON_UNAVAILABLE" });
    expect(error?.message).toContain(host);
    expect(error?.message).toMatch(why);
    expect(error?.message).not.toContain("\n");
  });
});

describe("another OCI runtime", () => {
  it("runs the sandboxes", async () => {
    expect(await useOf({ runtime: "other" })).toEqual({ hello: 1 });
    expect(readFileSync(path.join(keys, "other.calls"), "utf8")).toMatch(/ create .* start /su);
  });

  it("that cannot make a container, or that the daemon does not know, is told of at the start", async () => {
    await expect(place.engine({ runtime: "broken" })).rejects.toMatchObject({
      code: expect.stringMatching(/^OL_SANDBOX_/u) as string,
      message: expect.stringMatching(/broken|\/bin\/false|runtime/u) as string,
    });
    await expect(place.engine({ runtime: "unheard-of" })).rejects.toMatchObject({
      code: "OL_SANDBOX_BAD_OPTIONS",
      message: expect.stringMatching(
        /unheard-of, which the daemon does not know; it knows .*other/u,
      ) as string,
    });
  });
});
