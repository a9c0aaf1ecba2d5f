import { execFile, execFileSync } from "node:child_process";
import {
  cpSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";

import { MARKER, makeBase } from "../../packages/sandbox/test/support/base.ts";
import { TestDaemon } from "../../packages/sandbox/test/support/docker-daemon.ts";
import { freePorts } from "../../packages/common/src/index.ts";
import { CuttingProxy } from "../../packages/admin/test/support/cutting-proxy.ts";
import { type Outcome, admin, temporaryDirectory } from "../../packages/admin/test/support/harness.ts";
import { ImageRegistry } from "../../packages/admin/test/support/image-registry.ts";

const worker = join(
  dirname(createRequire(import.meta.url).resolve("ol-worker/package.json")),
  "bin/ol-worker.js",
);
const ADMIN = fileURLToPath(new URL("../../packages/admin/bin/ol-admin.js", import.meta.url));
const LOOK = fileURLToPath(new URL("../../packages/sandbox/test/support/handlers/look", import.meta.url));
const START_MS = 120_000;

let daemon: TestDaemon;
let scratch: string;
/** A root file system with this machine's Python. */
let python: Buffer;
/** A small one, with nothing to run. */
let small: Buffer;

const archiveOf = (directory: string): Buffer =>
  execFileSync("tar", ["-c", "-C", directory, "."], { maxBuffer: 1 << 30 });

const ask = (words: readonly string[], input?: Buffer): string =>
  execFileSync("curl", ["-sS", "--fail-with-body", "--unix-socket", daemon.socket, ...words], {
    encoding: "utf8",
    ...(input !== undefined && { input }),
  });

/** Makes an image of it. */
const importArchive = (archive: Buffer, repository: string): void => {
  const address = `http://d/images/create?fromSrc=-&repo=${repository}&tag=latest`;
  const said = ask(["--data-binary", "@-", "--header", "Content-Type: application/x-tar", address], archive);
  if (said.includes('"error"')) throw new Error(`docker import: ${said}`);
};

/** All that there are, or those that Docker's filters leave, by their ids. */
const containers = (filters: Readonly<Record<string, readonly string[]>> = {}): string[] => {
  const address = `http://d/containers/json?all=1&filters=${encodeURIComponent(JSON.stringify(filters))}`;
  return (JSON.parse(ask([address])) as { readonly Id: string }[]).map(({ Id }) => Id);
};

beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), "ol-docker-base-"));
  const [base, tiny] = [join(scratch, "base"), join(scratch, "tiny")];
  for (const directory of [base, tiny]) mkdirSync(directory);
  daemon = await TestDaemon.start("docker");
  await makeBase(base);
  python = archiveOf(base);
  mkdirSync(join(tiny, "usr"));
  writeFileSync(join(tiny, "usr/file"), "x".repeat(1_000_000));
  writeFileSync(join(tiny, "usr/su"), "", { mode: 0o755 });
  execFileSync("chmod", ["4777", join(tiny, "usr/su")]);
  execFileSync("mknod", [join(tiny, "usr/null"), "c", "1", "3"]);
  execFileSync("ln", [join(tiny, "usr/file"), join(tiny, "usr/same")]);
  execFileSync("ln", ["-s", "/etc/shadow", join(tiny, "usr/link")]);
  execFileSync("chown", ["-R", "12345:12345", join(tiny, "usr")]);
  execFileSync("chmod", ["4777", join(tiny, "usr/su")]);
  small = archiveOf(tiny);
  importArchive(python, "ol-python");
  importArchive(small, "ol-small");
}, START_MS);

afterAll(async () => {
  await daemon[Symbol.asyncDispose]();
  rmSync(scratch, { recursive: true, force: true });
}, START_MS);

interface Attempt {
  readonly host?: string;
  readonly signal?: AbortSignal;
}

/** `new --base=docker:IMAGE` in an empty directory. */
const make = async (
  image: string,
  { host = daemon.host, signal }: Attempt = {},
): Promise<Outcome & { cwd: string }> => {
  const cwd = temporaryDirectory();
  const outcome = await admin(["new", "--cluster=c", `--base=docker:${image}`], {
    cwd,
    environment: { DOCKER_HOST: host },
    ...(signal === undefined ? {} : { signal }),
  });
  return { ...outcome, cwd };
};

/** How one failed, and what is left of it. */
const failureOf = async (attempt: Promise<Outcome & { cwd: string }>): Promise<unknown> => {
  const { cwd, ...outcome } = await attempt;
  return { ...outcome, made: readdirSync(cwd), containers: containers() };
};

/** One line, and nothing is left. */
const refusal = (message: RegExp): unknown => ({
  code: 1,
  stdout: "",
  stderr: expect.stringMatching(new RegExp(`^${message.source}\n$`, "u")) as string,
  made: [],
  containers: [],
});

describe("new --base=docker:IMAGE", () => {
  test("fills the base with an image on which sandboxes run, and leaves no container", async () => {
    const { cwd, ...outcome } = await make("ol-python");
    expect(outcome).toMatchObject({ code: 0, stdout: `${join(cwd, "c")}\n` });
    expect(containers()).toEqual([]);
    const act = (...tokens: string[]): Promise<Outcome> =>
      admin([...tokens, "--cluster=c"], { cwd, workerCommand: [process.execPath, worker] });
    onTestFinished(async () => void (await act("kill", "--timeout=0")));
    const check = await act("base", "check");
    expect(check).toMatchObject({ code: 0 });
    expect(check.stdout).toMatch(/^ok {4}python +CPython 3\./mu);
    cpSync(LOOK, join(cwd, "c/registry/look"), { recursive: true });
    expect(await act("workers", `--port=${await freePorts()}`)).toMatchObject({ code: 0 });
    const reply = await act("invoke", "look", "-d", '["/usr/share/ol-marker", "/.dockerenv"]');
    expect(JSON.parse(reply.stdout)).toMatchObject({
      seen: { "/usr/share/ol-marker": MARKER, "/.dockerenv": "FileNotFoundError" },
    });
  });

  test("makes all of it ours, with no program that takes its owner's rights, and no device", async () => {
    const { cwd, code } = await make("ol-small");
    expect(code).toBe(0);
    const usr = join(cwd, "c/base/usr");
    expect(readdirSync(usr).sort()).toEqual(["file", "link", "same", "su"]);
    for (const name of readdirSync(usr)) expect(lstatSync(join(usr, name)).uid).toBe(0);
    expect(lstatSync(join(usr, "su")).mode & 0o7777).toBe(0o755);
    expect(lstatSync(join(usr, "same")).ino).toBe(lstatSync(join(usr, "file")).ino);
    expect(readlinkSync(join(usr, "link"))).toBe("/etc/shadow");
  });

  test("pulls an image that the daemon does not have", async () => {
    await using registry = await ImageRegistry.start(small);
    const { cwd, code, stderr } = await make(registry.image);
    expect(stderr).toContain("cluster made");
    expect(code).toBe(0);
    expect(readFileSync(join(cwd, "c/base/usr/file"), "utf8")).toHaveLength(1_000_000);
  });

  test("says of an image that is nowhere that it cannot be pulled, and why", async () => {
    await using registry = await ImageRegistry.start(small);
    expect(await failureOf(make(`${registry.image}-not:latest`))).toEqual(
      refusal(/\S+-not:latest is not there, and cannot be pulled: manifest unknown; check its name, .*/u),
    );
  });

  test("refuses an image for another machine", async () => {
    await using registry = await ImageRegistry.start(small, "arm64");
    expect(await failureOf(make(registry.image))).toEqual(
      refusal(/\S+ is for linux\/arm64, and this machine is linux\/amd64; name an image for it .*/u),
    );
  });

  test.each([
    [
      "unix:///nowhere/d.sock",
      /no Docker daemon answers \(unix:\/\/\/nowhere\/d\.sock: there is none \(ENOENT\)\); start one, or name one in DOCKER_HOST/u,
    ],
    ["ftp://x", /DOCKER_HOST is "ftp:\/\/x", and must be a unix socket .*/u],
  ])("says that no daemon answers at %s, and what to do", async (host, message) => {
    expect(await failureOf(make("ol-small", { host }))).toEqual(refusal(message));
  });

  test("is over when it is interrupted, though the daemon hangs", async () => {
    await using proxy = await CuttingProxy.start(daemon.host, 300_000, "hang");
    const interrupt = new AbortController();
    const making = failureOf(make("ol-small", { host: proxy.host, signal: interrupt.signal }));
    await proxy.reached;
    // By which the one of a killed ol-admin is found.
    expect(containers({ label: ["openlambda.base-export"] })).toHaveLength(1);
    interrupt.abort();
    expect(await making).toEqual(refusal(/the export of ol-small was interrupted/u));
  });

  test("says so when the connection to the daemon breaks", async () => {
    await using proxy = await CuttingProxy.start(daemon.host, 300_000, "break");
    expect(await failureOf(make("ol-small", { host: proxy.host }))).toEqual(
      refusal(/ol-small cannot be unpacked: .*/u),
    );
  });

  test("leaves nothing when the disk is full, and says so", async () => {
    const cwd = temporaryDirectory();
    // A file system of its own in a mount namespace, which is looked at before both go.
    const script = 'mount -t tmpfs -o size=512k none "$1" && cd "$1" && shift && { "$@"; echo "$?"; ls -A; }';
    const { stdout, stderr } = await promisify(execFile)(
      "unshare",
      [
        "--mount",
        "--",
        "sh",
        "-c",
        script,
        "sh",
        cwd,
        process.execPath,
        ADMIN,
        "new",
        "--cluster=c",
        "--base=docker:ol-small",
      ],
      { env: { ...process.env, DOCKER_HOST: daemon.host } },
    );
    expect(stdout).toBe("1\n");
    expect(stderr).toMatch(/^cannot write "usr\/file" of the base: the disk is full \(ENOSPC\)\n$/u);
    expect(containers()).toEqual([]);
  });
});
