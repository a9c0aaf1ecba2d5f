import { writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";

import { describe, expect, onTestFinished, test } from "vitest";

import { dockerFrom, optionsOf, usualSockets } from "../../src/base/docker-connection.ts";
import { temporaryDirectory } from "../support/harness.ts";

const nobody = new AbortController().signal;

describe("DOCKER_HOST", () => {
  test.each([
    ["unix:///run/d.sock", { socketPath: "/run/d.sock" }],
    ["tcp://h", { host: "h", port: 2375, protocol: "http" }],
    ["tcp://h:1", { host: "h", port: 1, protocol: "http" }],
    ["http://[::1]:1", { host: "::1", port: 1, protocol: "http" }],
    ["https://h", { host: "h", port: 2376, protocol: "https" }],
  ])("%s is %j", (host, expected) => {
    expect(optionsOf(host, {})).toMatchObject(expected);
  });

  test("is spoken to by TLS with the files of DOCKER_CERT_PATH if DOCKER_TLS_VERIFY is set", () => {
    const directory = temporaryDirectory();
    for (const name of ["ca", "cert", "key"]) writeFileSync(join(directory, `${name}.pem`), name);
    const environment = { DOCKER_TLS_VERIFY: "1", DOCKER_CERT_PATH: directory };
    expect(optionsOf("tcp://h", environment)).toMatchObject({
      port: 2376,
      protocol: "https",
      ca: Buffer.from("ca"),
      cert: Buffer.from("cert"),
      key: Buffer.from("key"),
    });
    expect(() => optionsOf("tcp://h", { ...environment, DOCKER_CERT_PATH: "/nowhere" })).toThrow(
      /^DOCKER_CERT_PATH="\/nowhere": ca\.pem cannot be read: there is none \(ENOENT\)$/u,
    );
  });

  test.each(["ssh://h", "unix://", "tcp://", "h:1", "tcp://a b"])("%s is refused in one line", (host) => {
    expect(() => optionsOf(host, {})).toThrow(
      /^DOCKER_HOST="[^\n]*" is no address of a daemon; it must be like /u,
    );
  });
});

describe("a daemon", () => {
  test("is looked for where Docker and Podman put their sockets, the user's too", () => {
    expect(usualSockets({})).toEqual(["/var/run/docker.sock", "/run/podman/podman.sock"]);
    expect(usualSockets({ HOME: "/h", XDG_RUNTIME_DIR: "/r" })).toEqual([
      "/var/run/docker.sock",
      "/r/docker.sock",
      "/h/.docker/run/docker.sock",
      "/h/.docker/desktop/docker.sock",
      "/run/podman/podman.sock",
      "/r/podman/podman.sock",
    ]);
  });

  test("that hangs is given up when the command is interrupted", async () => {
    const server = createServer(() => undefined).listen(0, "127.0.0.1");
    onTestFinished(() => {
      server.closeAllConnections();
      server.close();
    });
    await new Promise((resolve) => server.once("listening", resolve));
    const interrupt = new AbortController();
    server.once("request", () => interrupt.abort());
    const host = `tcp://127.0.0.1:${(server.address() as AddressInfo).port}`;
    await expect(dockerFrom({ DOCKER_HOST: host }, interrupt.signal)).rejects.toMatchObject({
      code: "OL_ADMIN_BASE",
      message: "the search for a Docker daemon was interrupted",
    });
  });

  test("that answers is used whatever this process's own DOCKER_HOST says", async () => {
    const server = createServer((request, response) => {
      response.setHeader("Content-Type", "application/json");
      response.end(request.url?.startsWith("/containers/json") === true ? "[]" : "{}");
    }).listen(0, "127.0.0.1");
    onTestFinished(() => void server.close());
    await new Promise((resolve) => server.once("listening", resolve));
    const before = process.env["DOCKER_HOST"];
    onTestFinished(() => {
      if (before === undefined) delete process.env["DOCKER_HOST"];
      else process.env["DOCKER_HOST"] = before;
    });
    process.env["DOCKER_HOST"] = "tcp://127.0.0.1:1";
    const host = `tcp://127.0.0.1:${(server.address() as AddressInfo).port}`;
    expect((await dockerFrom({ DOCKER_HOST: host }, nobody)).place).toBe(host);
    const socket = `unix://${temporaryDirectory()}/none.sock`;
    await expect(dockerFrom({ DOCKER_HOST: socket }, nobody)).rejects.toThrow(
      `${socket}: there is none (ENOENT)`,
    );
  });
});
