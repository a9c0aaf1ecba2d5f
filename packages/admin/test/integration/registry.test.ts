import { execFileSync } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { dirname, join } from "node:path";

import { freePorts } from "@ol/common";
import { describe, expect, onTestFinished, test } from "vitest";

import { identityOf } from "../../src/process/identity.ts";
import { readPidFile } from "../../src/process/pid-file.ts";
import { type Outcome, admin, temporaryDirectory, writeCertificate } from "../support/harness.ts";

// The built programs: they are started as processes, as users start them.
const bin = (name: string): readonly string[] => [
  process.execPath,
  join(dirname(createRequire(import.meta.url).resolve(`${name}/package.json`)), `bin/${name}.js`),
];
const REGISTRY = bin("ol-registry");
const WORKER = bin("ol-worker");

interface Ground {
  readonly cwd: string;
  readonly cluster: string;
  readonly port: number;
  readonly act: (...tokens: string[]) => Promise<Outcome>;
  /** Like `act`, and with these variables. */
  readonly actWith: (environment: Record<string, string>, ...tokens: string[]) => Promise<Outcome>;
  /** Writes a lambda's code that answers with `value`, and returns where. */
  readonly code: (value: number) => string;
}

/** A new cluster; whatever was started in it is ended after the test. */
const ground = async (...options: string[]): Promise<Ground> => {
  const cwd = temporaryDirectory();
  const actWith = (environment: Record<string, string>, ...tokens: string[]): Promise<Outcome> =>
    admin(tokens, { cwd, environment, workerCommand: WORKER, registryCommand: REGISTRY });
  const act = (...tokens: string[]): Promise<Outcome> => actWith({}, ...tokens);
  expect(await act("new", "--cluster=c", ...options)).toMatchObject({ code: 0 });
  onTestFinished(async () => void (await act("kill", "--timeout=0")));
  const code = (value: number): string => {
    mkdirSync(join(cwd, "hello"), { recursive: true });
    writeFileSync(join(cwd, "hello", "f.py"), `def f(event):\n    return ${value}\n`);
    return "hello";
  };
  return { cwd, cluster: join(cwd, "c"), port: await freePorts(), act, actWith, code };
};

const json = (file: string): Record<string, unknown> =>
  JSON.parse(readFileSync(file, "utf8")) as Record<string, unknown>;

/** Uploads code that answers with `value`; settles with its digest. */
const upload = async ({ act, code }: Ground, value: number, ...options: string[]): Promise<string> => {
  const outcome = await act("upload", "--handler=hello", `--file=${code(value)}`, ...options);
  expect(outcome).toMatchObject({ code: 0 });
  return /^hello@sha256:(?<digest>[0-9a-f]{64})\n$/u.exec(outcome.stdout)?.groups?.["digest"] as string;
};

describe("a cluster's own registry", () => {
  test("starts with keys of its own, tells the workers of it, and goes on after a stop", async () => {
    const here = await ground();
    const { act, cluster, port } = here;
    const url = `http://localhost:${port}`;
    const outcome = await act("registry", `--port=${port}`);
    expect(outcome).toMatchObject({ code: 0, stdout: `registry ready at ${url}\n` });
    const [config, template] = [join(cluster, "config/registry.json"), join(cluster, "config/template.json")];
    for (const file of [config, template]) expect(statSync(file).mode & 0o777).toBe(0o600);
    const [admin, reader] = json(config)["registry_keys"] as Record<string, string>[];
    expect([admin?.["role"], reader?.["role"]]).toEqual(["admin", "read"]);
    expect(json(template)).toMatchObject({
      registry: "remote",
      registry_server: url,
      registry_access_key: reader?.["access_key"],
      registry_secret_key: reader?.["secret_key"],
    });
    // Nothing that is printed has a key in it.
    for (const key of [admin, reader].flatMap((pair) => [pair?.["access_key"], pair?.["secret_key"]]))
      expect(`${outcome.stdout}${outcome.stderr}`).not.toContain(String(key));
    const digest = await upload(here, 1);
    expect(await act("registry")).toMatchObject({ code: 0, stdout: `registry ready at ${url}\n` });
    expect(await act("registry", "--stop")).toMatchObject({ code: 0, stderr: "registry stopped\n" });
    expect(await act("registry", "--stop")).toMatchObject({ code: 0, stderr: "no registry was running\n" });
    const away = await act("list");
    expect(away).toMatchObject({ code: 1, stdout: "" });
    expect(away.stderr).toMatch(/if it does not run, start it: npx ol-admin registry --cluster=\S+\n$/u);
    expect(await act("registry")).toMatchObject({ code: 0, stdout: `registry ready at ${url}\n` });
    expect((await act("list")).stdout).toContain(`latest=sha256:${digest.slice(0, 12)}`);
  });

  test("speaks TLS with a certificate that the cluster's template trusts", async () => {
    const { act, cluster, port } = await ground("--registry");
    const at = (name: string): string => join(cluster, name);
    writeCertificate(at("cert.pem"), at("key.pem"));
    const config = at("config/registry.json");
    writeFileSync(
      config,
      JSON.stringify({ ...json(config), registry_tls: { cert: "cert.pem", key: "key.pem" } }),
    );
    const untrusted = await act("registry", `--port=${port}`);
    expect(untrusted).toMatchObject({ code: 1, stdout: "" });
    expect(untrusted.stderr).toMatch(/its certificate is not trusted .* as registry_ca$/mu);
    expect(await act("setconf", '{"registry_ca": "cert.pem"}')).toMatchObject({ code: 0 });
    const url = `https://localhost:${port}`;
    expect(await act("registry")).toMatchObject({
      code: 0,
      stdout: `registry ready at ${url}\n`,
      stderr: "it ran already\n",
    });
    expect(json(at("config/template.json"))["registry_server"]).toBe(url);
    expect(await act("list")).toMatchObject({ code: 0 });
  });

  test("takes the keys it is told, and new ones while it runs", async () => {
    const here = await ground();
    const { act, port } = here;
    const keys = ["--access-key=abc", "--secret-key=12345678"];
    expect(await act("registry", `--port=${port}`, ...keys)).toMatchObject({ code: 0 });
    await upload(here, 1, ...keys);
    const next = ["--access-key=abcd", "--secret-key=123456789"];
    expect(await act("registry", ...next)).toMatchObject({ code: 0 });
    expect((await act("list", ...keys)).code).toBe(1);
    expect((await act("list", ...next)).stdout).toMatch(/^hello /u);
    expect((await act("list")).stdout).toMatch(/^hello /u);
    const others = { OL_ACCESS_KEY: "another", OL_SECRET_KEY: "registry-s" };
    expect((await here.actWith(others, "registry")).stderr).toBe("it ran already\n");
    expect(await act("registry", "--access-key=ab", "--secret-key=12345678")).toMatchObject({ code: 2 });
    expect(await act("registry", "--access-key=abc", "--secret-key=1234567")).toMatchObject({ code: 2 });
    expect(await act("registry", "--access-key=abc")).toMatchObject({ code: 2 });
  });

  test("that cannot start leaves everything as it was", async () => {
    const { act, cluster, port } = await ground();
    const before = readFileSync(join(cluster, "config/template.json"), "utf8");
    const server = createServer().listen(0, "127.0.0.1");
    onTestFinished(() => void server.close());
    await new Promise((resolve) => server.once("listening", resolve));
    const taken = (server.address() as AddressInfo).port;
    const busy = await act("registry", `--port=${taken}`);
    expect(busy).toMatchObject({ code: 1, stdout: "" });
    expect(busy.stderr).toMatch(/^port \d+ is in use by .*; stop it, or take another with --port\n$/u);
    writeFileSync(join(cluster, "registry-data"), "no directory");
    const failed = await act("registry", `--port=${port}`);
    expect(failed).toMatchObject({ code: 1, stdout: "" });
    expect(failed.stderr).toMatch(/^registry did not start: [^\n]+\n$/mu);
    expect(readdirSync(join(cluster, "config")).sort()).toEqual(["cluster.json", "template.json"]);
    expect(readFileSync(join(cluster, "config/template.json"), "utf8")).toBe(before);
    rmSync(join(cluster, "registry-data"));
    expect(await act("registry", `--port=${port}`)).toMatchObject({ code: 0 });
  });

  test("is in status, missed when it is dead, started again, and ended by kill", async () => {
    const here = await ground("--registry");
    const { act, cluster, port } = here;
    const url = `http://localhost:${port}`;
    const ping = async (): Promise<[number, string]> => {
      const { code, stdout } = await act("status");
      return [code, stdout.split("\n").slice(0, 2).join("\n")];
    };
    expect((await act("status")).stdout).toContain("=> not running; npx ol-admin registry starts it\n");
    expect(await act("registry", `--port=${port}`)).toMatchObject({ code: 0 });
    expect(await ping()).toEqual([0, `Registry Ping:\n  ${url}/status => ready [200 OK]`]);
    const digest = await upload(here, 1);
    const recorded = readPidFile(join(cluster, "logs/registry.pid"));
    if (recorded === undefined || recorded === "unreadable") throw new Error("there is no pid file");
    process.kill(recorded.pid, "SIGKILL");
    await expect.poll(() => identityOf(recorded.pid), { timeout: 10_000 }).toBeUndefined();
    expect((await ping())[0]).toBe(1);
    expect(await act("registry")).toMatchObject({ code: 0 });
    expect((await act("list", "--versions=hello")).stdout).toContain(`sha256:${digest.slice(0, 12)}`);
    expect((await act("kill")).stderr).toContain("registry stopped\n");
    expect(readdirSync(join(cluster, "logs")).filter((name) => name.endsWith(".pid"))).toEqual([]);
    expect((await ping())[0]).toBe(1);
  });
});

describe("code in a registry", () => {
  test("has versions, goes back to older ones, and is removed in parts or as a whole", async () => {
    const here = await ground();
    const { act } = here;
    await act("registry", `--port=${here.port}`);
    const first = await upload(here, 1);
    const second = await upload(here, 2);
    const tagged = await upload(here, 3, "--tag=next");
    expect(await upload(here, 2)).toBe(second);
    const versions = JSON.parse((await act("list", "--versions=hello", "--json")).stdout) as {
      digest: string;
      tags: string[];
    }[];
    expect(new Map(versions.map(({ digest, tags }) => [digest, tags]))).toEqual(
      new Map([
        [second, ["latest"]],
        [tagged, ["next"]],
        [first, []],
      ]),
    );
    const back = await act("rollback", "hello");
    expect(back).toMatchObject({ code: 0, stdout: `hello@sha256:${first}\n` });
    expect(back.stderr).toContain(`hello@latest was sha256:${second.slice(0, 12)}`);
    expect((await act("rollback", "hello", tagged.slice(0, 10))).stdout).toBe(`hello@sha256:${tagged}\n`);
    expect((await act("rollback", "hello", "0000000000")).code).toBe(1);
    expect((await act("rollback", "nobody")).code).toBe(1);
    expect((await act("remove", `hello@sha256:${tagged}`)).stderr).toContain("latest and next points at");
    expect((await act("remove", `hello@sha256:${first}`)).code).toBe(0);
    expect((await act("remove", "hello@next")).code).toBe(0);
    expect((await act("list")).stdout).toMatch(/^hello {2}latest=sha256:\w{12} {2}2 versions {2}\S+KB\n$/u);
    expect((await act("remove", "hello")).code).toBe(0);
    expect(await act("list")).toMatchObject({ code: 0, stdout: "" });
    expect((await act("remove", "hello")).code).toBe(1);
  });

  test("is created only once if asked, keeps as many versions as it is told, and gc says what it would remove", async () => {
    const here = await ground();
    const { act } = here;
    await act("registry", `--port=${here.port}`);
    await upload(here, 1, "--create-only");
    const again = await act("upload", "--handler=hello", `--file=${here.code(2)}`, "--create-only");
    expect(again).toMatchObject({ code: 1, stdout: "" });
    expect(again.stderr).toContain("already, and the upload was to create only; nothing was changed");
    const second = await upload(here, 2, "--keep=1");
    expect((await act("list")).stdout).toContain("  1 version  ");
    const third = await upload(here, 3);
    // What is younger than an hour may be about to be used.
    expect(await act("gc", "--dry-run", "--keep=1")).toMatchObject({ code: 0, stdout: "" });
    const versions = (await act("list", "--versions=hello")).stdout;
    for (const digest of [second, third]) expect(versions).toContain(digest.slice(0, 12));
  });

  test("is signed with a key, and not by what is no key", async () => {
    const here = await ground();
    await here.act("registry", `--port=${here.port}`);
    const { privateKey } = generateKeyPairSync("ed25519");
    writeFileSync(join(here.cwd, "key.pem"), privateKey.export({ type: "pkcs8", format: "pem" }));
    writeFileSync(
      join(here.cwd, "bad.pem"),
      "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    );
    await upload(here, 1, "--sign=key.pem");
    expect((await here.act("list", "--versions=hello")).stdout).toMatch(/ signed {2}latest\n$/u);
    const bad = await here.act("upload", "--handler=hello", `--file=${here.code(2)}`, "--sign=bad.pem");
    expect(bad).toMatchObject({ code: 1, stdout: "" });
    expect(bad.stderr).not.toContain("AAAA");
  });

  test("is changed by nobody who has the workers' keys, or wrong ones", async () => {
    const here = await ground();
    const { act, actWith, cluster } = here;
    await act("registry", `--port=${here.port}`);
    await upload(here, 1);
    const template = json(join(cluster, "config/template.json"));
    const keys = {
      OL_ACCESS_KEY: String(template["registry_access_key"]),
      OL_SECRET_KEY: String(template["registry_secret_key"]),
    };
    const file = here.code(2);
    expect((await actWith(keys, "list")).stdout).toMatch(/^hello /u);
    for (const tokens of [
      ["upload", "--handler=hello", `--file=${file}`],
      ["remove", "hello"],
    ]) {
      const outcome = await actWith(keys, ...tokens);
      expect(outcome).toMatchObject({ code: 1, stdout: "" });
      expect(outcome.stderr).not.toContain(keys.OL_SECRET_KEY);
    }
    const wrong = await actWith({ ...keys, OL_SECRET_KEY: "not the secret" }, "list");
    expect(wrong).toMatchObject({ code: 1, stdout: "" });
    expect((await act("list")).stdout).toMatch(/ 1 version /u);
  });

  test("is uploaded without a cluster, given where and who", async () => {
    const here = await ground();
    await here.act("registry", `--port=${here.port}`, "--access-key=abc", "--secret-key=12345678");
    const cwd = temporaryDirectory();
    mkdirSync(join(cwd, "hello"));
    writeFileSync(join(cwd, "hello", "f.py"), "def f(event): ...\n");
    const outcome = await admin(
      ["upload", "--handler=there", "--file=hello", `--address=localhost:${here.port}`],
      { cwd, environment: { OL_ACCESS_KEY: "abc", OL_SECRET_KEY: "12345678" } },
    );
    expect(outcome).toMatchObject({ code: 0 });
    expect((await here.act("list")).stdout).toMatch(/^there /u);
    const noKeys = await admin(["upload", "--handler=there", "--file=hello", "--address=localhost:1"], {
      cwd,
    });
    expect(noKeys.stderr).toMatch(
      /^there are no keys that may change the registry at localhost:1; give them by/u,
    );
    // A stranger's address is not given the cluster's keys.
    const stranger = await here.act("list", "--address=http://127.0.0.1:1");
    expect(stranger.stderr).toMatch(
      /^there are no keys that may read the registry at http:\/\/127\.0\.0\.1:1;/u,
    );
    // That it does not answer is no reason to start the cluster's own.
    const away = await here.act(
      "list",
      "--address=http://127.0.0.1:1",
      "--access-key=abc",
      "--secret-key=12345678",
    );
    expect(away.stderr).toMatch(/nothing listens there \(ECONNREFUSED\)\n$/u);
    for (const address of ["http://me:hidden@127.0.0.1:1", "me:hidden@127.0.0.1:port"]) {
      const refused = await here.act("list", `--address=${address}`);
      expect(refused).toMatchObject({ code: 2, stdout: "" });
      expect(refused.stderr).toContain("--address");
      expect(refused.stderr).not.toContain("hidden");
    }
  });
});

test("a new cluster with a registry runs what is uploaded, follows changes, and goes back", async () => {
  const here = await ground("--registry");
  const { act } = here;
  expect(await act("registry", `--port=${here.port}`)).toMatchObject({ code: 0 });
  expect(await act("setconf", '{"registry_cache_ms": 100}')).toMatchObject({ code: 0 });
  const first = await upload(here, 1);
  const port = await freePorts();
  expect(await act("workers", `--port=${port}`)).toMatchObject({ code: 0 });
  expect(statSync(join(here.cluster, "config/worker-0.json")).mode & 0o777).toBe(0o600);
  const call = async (name = "hello"): Promise<string> =>
    (await fetch(`http://localhost:${port}/run/${name}`, { method: "POST" })).text();
  expect(await call()).toBe("1");
  await upload(here, 2);
  await expect.poll(() => call(), { timeout: 20_000 }).toBe("2");
  expect(await call(`hello@sha256:${first}`)).toBe("1");
  expect(await act("rollback", "hello")).toMatchObject({ code: 0 });
  await expect.poll(() => call(), { timeout: 20_000 }).toBe("1");
  execFileSync("tar", ["-czf", join(here.cwd, "app.tar.gz"), "-C", join(here.cwd, "hello"), "."]);
  expect(await act("upload", "--handler=other", "--file=app.tar.gz")).toMatchObject({ code: 0 });
  expect(await call("other")).toBe("2");
  const directory = join(here.cwd, "shop");
  mkdirSync(join(directory, "handlers", "buy"), { recursive: true });
  mkdirSync(join(directory, "static"));
  writeFileSync(join(directory, "handlers", "buy", "f.py"), 'def f(event):\n    return "bought"\n');
  writeFileSync(join(directory, "static", "index.html"), "<!doctype html><title>shop</title>");
  expect(await act("app", "shop")).toMatchObject({ code: 0 });
  expect(await call("shop-buy")).toBe('"bought"');
  expect(await (await fetch(`http://localhost:${port}/run/shop-static/`)).text()).toContain("<title>shop");
  expect(await act("app", "shop", "--down")).toMatchObject({ code: 0 });
  expect((await act("list")).stdout).not.toContain("shop");
  expect(await act("registry", "--stop")).toMatchObject({ code: 0 });
  expect((await act("workers", "--restart")).stderr).toContain(
    "the cluster's registry does not run; until it does",
  );
  // What it knows it still runs, also after it was started anew.
  expect(await call()).toBe("1");
});
