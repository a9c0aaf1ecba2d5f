import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { describe, expect, it, onTestFinished } from "vitest";

import { daemonCandidates, daemonConnection, type DaemonPlace } from "../../src/index.ts";

const candidates = (place: DaemonPlace) =>
  daemonCandidates(place, (problem, cause) => new Error(problem, { cause }));

const found = async (place: DaemonPlace) =>
  (await candidates(place)).map(({ from, address }) => [from, address.url]);

const certificates = (): string => {
  const directory = mkdtempSync(join(tmpdir(), "ol-daemon-"));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  for (const name of ["ca", "cert", "key"]) writeFileSync(join(directory, `${name}.pem`), name);
  return directory;
};

const KEYS = { ca: Buffer.from("ca"), cert: Buffer.from("cert"), key: Buffer.from("key") };

describe("a container daemon's address", () => {
  it("is the configured one, else the environment's, else one of the usual places", async () => {
    const environment = { DOCKER_HOST: "tcp://127.0.0.1:2375", XDG_RUNTIME_DIR: "/run/user/7" };
    expect(await found({ host: "unix:///x.sock", environment })).toEqual([["docker.host", "unix:///x.sock"]]);
    expect(await found({ host: "/x.sock" })).toEqual([["docker.host", "unix:///x.sock"]]);
    expect(await found({ environment })).toEqual([["DOCKER_HOST", "tcp://127.0.0.1:2375"]]);
    expect(await found({})).toEqual([
      ["usual place", "unix:///var/run/docker.sock"],
      ["usual place", "unix:///run/podman/podman.sock"],
    ]);
    const usual = await found({ environment: { HOME: "/h", XDG_RUNTIME_DIR: "/r" } });
    expect(usual.map(([, url]) => url)).toEqual([
      "unix:///var/run/docker.sock",
      "unix:///r/docker.sock",
      "unix:///h/.docker/run/docker.sock",
      "unix:///h/.docker/desktop/docker.sock",
      "unix:///run/podman/podman.sock",
      "unix:///r/podman/podman.sock",
    ]);
  });

  it.each([
    ["unix:///run/d.sock", { socketPath: "/run/d.sock", host: undefined }],
    ["tcp://h", { host: "h", port: 2375, protocol: "http", socketPath: undefined }],
    ["tcp://h:1/", { host: "h", port: 1, protocol: "http" }],
    ["http://h:80", { host: "h", port: 80, protocol: "http" }],
    ["http://[::1]:1", { host: "::1", port: 1, protocol: "http" }],
  ])("%s is %j", async (host, expected) => {
    const [candidate] = await candidates({ environment: { DOCKER_HOST: host } });
    expect(daemonConnection(candidate?.address ?? { url: "" })).toMatchObject(expected);
  });

  it("is spoken to by TLS if its scheme, the environment or the configuration says so", async () => {
    const certPath = certificates();
    const keys = { DOCKER_CERT_PATH: certPath };
    for (const place of [
      { environment: { ...keys, DOCKER_HOST: "tcp://h", DOCKER_TLS_VERIFY: "1" } },
      { environment: { ...keys, DOCKER_HOST: "https://h" } },
      { host: "tcp://h", certPath },
    ]) {
      const [candidate] = await candidates(place);
      expect(daemonConnection(candidate?.address ?? { url: "" })).toEqual({
        socketPath: undefined,
        host: "h",
        port: 2376,
        protocol: "https",
        ...KEYS,
      });
    }
    // What the environment says of TLS belongs to the daemon that it names.
    const environment = { ...keys, DOCKER_TLS_VERIFY: "1" };
    expect(await found({ host: "tcp://h", environment })).toEqual([["docker.host", "tcp://h:2375"]]);
  });

  it("needs certificates where TLS is wanted", async () => {
    const environment = { DOCKER_HOST: "tcp://h", DOCKER_TLS_VERIFY: "1" };
    await expect(candidates({ environment: { ...environment, DOCKER_CERT_PATH: "/none" } })).rejects.toThrow(
      /^\/none\/ca\.pem cannot be read: there is none \(ENOENT\); TLS with /u,
    );
    await expect(candidates({ environment })).rejects.toThrow(/no directory with certificates is named/u);
  });

  it.each(["ssh://h", "unix://", "tcp://", "h:1", "tcp://a b", "tcp://a/b", "nowhere", "tcp://h:99999"])(
    "%s is refused in one line",
    async (host) => {
      await expect(candidates({ host })).rejects.toThrow(
        /^docker\.host is "[^\n]*", and must be a unix socket such as /u,
      );
    },
  );
});
