import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

import { describe, expect, onTestFinished, test } from "vitest";

import { dockerFrom } from "../../src/base/docker-connection.ts";
import { temporaryDirectory } from "../support/harness.ts";

const nobody = new AbortController().signal;

describe("a daemon", () => {
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

  test("that cannot be meant is refused in one line", async () => {
    await expect(dockerFrom({ DOCKER_HOST: "ssh://h" }, nobody)).rejects.toMatchObject({
      code: "OL_ADMIN_BASE",
      message: expect.stringMatching(/^DOCKER_HOST is "ssh:[^\n]* forward the socket: /u) as string,
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
