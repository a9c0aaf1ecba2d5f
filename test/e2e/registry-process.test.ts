import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import path from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { selfSigned } from "../../packages/registry/test/support/foreign-clients.ts";
import { ADMIN, READER, SignedClient, UPLOADER } from "../../packages/registry/test/support/registry.ts";
import {
  RegistryDirectory,
  type RegistryProcess,
} from "../../packages/registry/test/support/registry-process.ts";
import { signedHead, Wire } from "../../packages/registry/test/support/wire.ts";

const KEYS = [ADMIN, UPLOADER, READER].map(({ accessKey, secretKey, role }) => ({
  access_key: accessKey,
  secret_key: secretKey,
  role,
}));
const WAIT = { timeout: 30_000 };

let place: RegistryDirectory;
let clients: SignedClient[];
beforeEach(async () => {
  place = await RegistryDirectory.make({ registry_keys: KEYS });
  clients = [];
});
afterEach(async () => {
  for (const client of clients) client.close();
  await place[Symbol.asyncDispose]();
});

const clientOf = async (registry: RegistryProcess): Promise<SignedClient> => {
  const client = new SignedClient(await registry.port());
  clients.push(client);
  return client;
};

/** A registry that has the first five bytes of an upload of ten. */
const startWithUpload = async (): Promise<{ registry: RegistryProcess; wire: Wire }> => {
  const registry = await place.start();
  const client = await clientOf(registry);
  const wire = new Wire(await registry.port());
  wire.write(`${await signedHead({ path: "/registry/slow" }, ["content-length: 10"])}hello`);
  await expect
    .poll(async () => (await client.send("GET", "/stats", { as: null })).text, WAIT)
    .toContain('"running":2');
  return { registry, wire };
};

describe("ol-registry", () => {
  it("says when it is ready, makes its bucket, and keeps what it has acknowledged, whatever becomes of it", async () => {
    const first = await place.start();
    expect(await first.word).toMatch(/^ready http:\/\/localhost:\d+$/u);
    const client = await clientOf(first);
    expect((await client.send("GET", "/status", { as: null })).text).toBe("ready");
    expect((await client.send("PUT", "/registry/a", { body: "one", as: UPLOADER })).status).toBe(200);
    expect(await first.kill("SIGKILL")).toBe(null);
    const second = await place.start();
    expect((await (await clientOf(second)).send("GET", "/registry/a", { as: READER })).text).toBe("one");
    expect((await stat(path.join(place.directory, "registry-data"))).mode & 0o777).toBe(0o700);
  });

  it("finishes what it does at SIGTERM, takes nothing new, and ends with 0", async () => {
    const { registry, wire } = await startWithUpload();
    registry.signal("SIGTERM");
    await expect.poll(() => registry.output, WAIT).toContain("stopping");
    wire.write("world");
    await expect.poll(() => wire.statuses, WAIT).toEqual(["200"]);
    expect(await registry.ended).toBe(0);
    const again = await clientOf(await place.start());
    expect((await again.send("GET", "/registry/slow")).text).toBe("helloworld");
  });

  it("ends at once at a second signal", async () => {
    const { registry } = await startWithUpload();
    registry.signal("SIGINT");
    await expect.poll(() => registry.output, WAIT).toContain("stopping");
    registry.signal("SIGINT");
    expect(await registry.ended).toBe(1);
    const again = await clientOf(await place.start());
    expect((await again.send("GET", "/registry/slow")).code).toBe("NoSuchKey");
  });

  it("does not share its directory, and says in one line why it does not start", async () => {
    await place.start();
    const second = await place.start();
    expect(await second.word).toMatch(/^error .*registry-data/u);
    expect(await second.ended).toBe(1);
    expect(second.output.trimEnd().split("\n")).toEqual([
      expect.stringMatching(/^ol-registry: .*registry-data/u),
    ]);
  });

  it("shows no key in its log, also not in that of its refusals", async () => {
    const registry = await place.start();
    const client = await clientOf(registry);
    await client.send("PUT", "/registry/a", { body: "x", as: { ...UPLOADER, secretKey: "wrong-secret" } });
    await client.send("GET", "/registry/a", {
      presignedFor: 60,
      headers: { "x-amz-content-sha256": "UNSIGNED-PAYLOAD" },
    });
    expect(await registry.kill("SIGTERM")).toBe(0);
    for (const line of registry.output.trimEnd().split("\n"))
      expect(JSON.parse(line)).toHaveProperty("level");
    for (const { accessKey, secretKey } of [ADMIN, UPLOADER, READER])
      for (const word of [accessKey, secretKey, "wrong-secret"]) expect(registry.output).not.toContain(word);
  });

  it("serves HTTPS with a certificate, and says of one that is none only that it cannot be used", async () => {
    const { cert, key } = await selfSigned();
    await writeFile(path.join(place.directory, "cert.pem"), cert);
    await writeFile(path.join(place.directory, "key.pem"), key);
    const tls = { registry_port: 0, registry_keys: KEYS, registry_tls: { cert: "cert.pem", key: "key.pem" } };
    await writeFile(place.config, JSON.stringify(tls));
    expect(await (await place.start()).word).toMatch(/^ready https:\/\/localhost:\d+$/u);
    await writeFile(path.join(place.directory, "key.pem"), "SECRET NONSENSE");
    await writeFile(place.config, JSON.stringify({ ...tls, registry_data_dir: "other" }));
    const bad = await place.start();
    expect(await bad.word).toMatch(/^error the certificate and its key cannot be used/u);
    expect(await bad.ended).toBe(1);
    expect(bad.output).not.toContain("SECRET");
  });

  it.each([
    [[], 2, /--config FILE is missing/u],
    [["serve"], 2, /there is no command "serve"/u],
    [["--json", "--config", "x"], 2, /--json belongs to scrub/u],
    [["--config", "/nonexistent.json"], 1, /\/nonexistent\.json: there is no such file\n$/u],
  ])("started with %j ends with %d and a line that says why", async (args, code, why) => {
    const ended = await place.run(...args);
    expect(ended).toMatchObject({ code, stderr: expect.stringMatching(why), stdout: "" });
  });

  it("says its version and its usage", async () => {
    expect((await place.run("--version")).stdout).toMatch(/^\d+\.\d+\.\d+\n$/u);
    expect((await place.run("--help")).stdout).toContain("ol-registry scrub --config FILE");
  });
});

describe("ol-registry scrub", () => {
  it("finds what is damaged on the disk and sets it aside, but not while the registry runs", async () => {
    const registry = await place.start();
    const client = await clientOf(registry);
    await client.send("PUT", "/registry/good", { body: "good" });
    await client.send("PUT", "/registry/bad", { body: "bad" });
    const busy = await place.run("scrub", "--config", place.config);
    expect(busy).toMatchObject({ code: 1, stderr: expect.stringContaining("registry-data") });
    await registry.kill("SIGTERM");
    expect(await place.run("scrub", "--config", place.config)).toMatchObject({
      code: 0,
      stdout: expect.stringContaining("2 contents with 7 bytes were read, 0 of them are damaged"),
    });
    await damage(path.join(place.directory, "registry-data", "blobs"), "bad");
    const found = await place.run("scrub", "--config", place.config, "--json");
    expect(found.code).toBe(1);
    expect(JSON.parse(found.stdout)).toMatchObject({
      blobs: 2,
      damaged: [{ objects: [{ bucket: "registry", key: "bad" }] }],
    });
    const again = await clientOf(await place.start());
    expect((await again.send("GET", "/registry/good")).text).toBe("good");
    expect((await again.send("GET", "/registry/bad")).code).toBe("NoSuchKey");
  });
});

/** Changes the file below `directory` that has that content. */
const damage = async (directory: string, content: string): Promise<void> => {
  for (const name of await readdir(directory, { recursive: true })) {
    const file = path.join(directory, name);
    if ((await stat(file)).isFile() && (await readFile(file, "utf8")) === content)
      await writeFile(file, "dab");
  }
};
