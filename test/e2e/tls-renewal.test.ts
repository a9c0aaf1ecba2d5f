import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { connect, type TLSSocket } from "node:tls";

import { expect, it, onTestFinished } from "vitest";

import { selfSigned } from "../../packages/registry/test/support/foreign-clients.ts";
import { ADMIN } from "../../packages/registry/test/support/registry.ts";
import { RegistryDirectory } from "../../packages/registry/test/support/registry-process.ts";
import { startBalancerProcess } from "./support/balancer-process.ts";

const WAIT = { timeout: 60_000 };

/** A server that is running, until the test is over. */
interface Server {
  readonly port: number;
  log(): string;
}

const SERVERS: Readonly<Record<string, (tls: Readonly<Record<string, string>>) => Promise<Server>>> = {
  "ol-balancer": async (tls) => {
    const balancer = await startBalancerProcess([], { tls });
    onTestFinished(() => balancer[Symbol.asyncDispose]());
    return balancer;
  },
  "ol-registry": async (tls) => {
    const keys = [{ access_key: ADMIN.accessKey, secret_key: ADMIN.secretKey, role: "admin" }];
    const place = await RegistryDirectory.make({ registry_keys: keys, registry_tls: tls });
    onTestFinished(() => place[Symbol.asyncDispose]());
    const registry = await place.start();
    return {
      port: Number(new URL((await registry.word).slice("ready ".length)).port),
      log: () => registry.output,
    };
  },
};

const connected = async (port: number): Promise<TLSSocket> => {
  const socket = connect({ port, host: "127.0.0.1", rejectUnauthorized: false });
  socket.on("error", () => undefined);
  await once(socket, "secureConnect");
  return socket;
};

const shown = async (port: number): Promise<string | undefined> => {
  const socket = await connected(port);
  const { fingerprint256 } = socket.getPeerX509Certificate() ?? {};
  socket.destroy();
  return fingerprint256;
};

const ask = async (socket: TLSSocket): Promise<string> => {
  socket.write("GET /status HTTP/1.1\r\nHost: a\r\n\r\n");
  const [data] = (await once(socket, "data", { signal: AbortSignal.timeout(WAIT.timeout) })) as [Buffer];
  return data.toString("latin1").split("\r\n", 1)[0] ?? "";
};

it.each(Object.keys(SERVERS))(
  "%s shows a renewed certificate without a restart, keeps connections, and serves on with the old one while the new is no good",
  async (program) => {
    const directory = await mkdtemp(path.join(tmpdir(), "ol-tls-"));
    onTestFinished(() => rm(directory, { recursive: true }));
    const [cert, key] = [path.join(directory, "cert.pem"), path.join(directory, "key.pem")];
    const [old, renewed, last] = [await selfSigned(), await selfSigned(), await selfSigned()];
    const prints = [old, renewed, last].map((pair) => new X509Certificate(pair.cert).fingerprint256);
    await writeFile(cert, old.cert);
    await writeFile(key, old.key);
    const server = await SERVERS[program]?.({ cert, key });
    if (server === undefined) throw new Error(program);
    const { port } = server;
    const open = await connected(port);
    expect([await shown(port), await ask(open)]).toEqual([prints[0], "HTTP/1.1 200 OK"]);

    // Only half of it is there: no pair.
    await writeFile(cert, renewed.cert);
    await expect.poll(() => server.log(), WAIT).toMatch(/those that were read before stay/u);
    expect(await shown(port)).toBe(prints[0]);
    await writeFile(key, renewed.key);
    await expect.poll(() => shown(port), WAIT).toBe(prints[1]);
    expect(await ask(open)).toBe("HTTP/1.1 200 OK");

    await writeFile(key, "SECRET NONSENSE");
    await rm(cert);
    await expect
      .poll(() => server.log().match(/those that were read before stay/gu)?.length, WAIT)
      .toBeGreaterThan(1);
    expect(await shown(port)).toBe(prints[1]);
    expect(server.log()).not.toContain("SECRET");

    // As Kubernetes and who renews certificates do: a link to another file takes the old one's place.
    await writeFile(path.join(directory, "new-cert"), last.cert);
    await writeFile(path.join(directory, "new-key"), last.key);
    for (const [name, file] of [
      ["new-cert", cert],
      ["new-key", key],
    ] as const) {
      await symlink(name, path.join(directory, "link"));
      await rename(path.join(directory, "link"), file);
    }
    await expect.poll(() => shown(port), WAIT).toBe(prints[2]);
    expect(await ask(open)).toBe("HTTP/1.1 200 OK");
    open.destroy();
  },
);
