import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { silentLogger } from "@ol/common";

import type { SandboxSpec } from "../../src/engine.ts";
import { DockerEngine } from "../../src/docker/engine.ts";
import { findDaemon } from "../../src/docker/find-daemon.ts";
import { inspectDocker, sweepDocker } from "../../src/docker/host.ts";
import { prepareImage } from "../../src/docker/image.ts";
import { type Sandbox, SandboxPool } from "../../src/index.ts";
import { DockerPlace } from "../support/docker-place.ts";
import { eventually } from "../support/cluster.ts";

const MAKE_MS = 120_000;
const CREATE_MS = 60_000;
const LIMITS = { memoryMb: 64, swappiness: 0, procs: 10, cpuPercent: 200, logMb: 1, scratchMb: 4 };

let place: DockerPlace;

beforeAll(async () => {
  place = await DockerPlace.make("docker");
}, MAKE_MS);

afterAll(() => place[Symbol.asyncDispose](), MAKE_MS);

const specOf = (code: string, more: Partial<SandboxSpec> = {}): SandboxSpec => ({
  name: code,
  code,
  network: "none",
  environment: {},
  limits: LIMITS,
  ...more,
});

const poolOf = (engine: DockerEngine, createMs = CREATE_MS): SandboxPool =>
  SandboxPool.create({ engine, memoryMb: 2_000, createMs });

const resultOf = async (sandbox: Sandbox, event: unknown): Promise<unknown> => {
  const body = Buffer.from(JSON.stringify(event));
  const reply = await sandbox.call({ invocationId: "call", body, timeoutMs: CREATE_MS });
  expect(reply.failure).toBe(undefined);
  return JSON.parse(reply.body.toString());
};

/** Containers that the daemon has, by name. */
const containers = (): string[] => {
  const list = execFileSync(
    "curl",
    ["-s", "--unix-socket", place.daemon.socket, "http://d/containers/json?all=1"],
    { encoding: "utf8" },
  );
  return (JSON.parse(list) as { Names: string[] }[]).flatMap(({ Names }) => Names);
};

describe("an engine", () => {
  it("whose daemon is not there says where it was looked for", async () => {
    const daemon = { host: `unix://${place.directory}/none.sock` };
    await expect(place.engine({ daemon })).rejects.toMatchObject({
      code: "OL_SANDBOX_DAEMON_UNAVAILABLE",
      message: expect.stringMatching(/none\.sock is not there: .*It is what docker\.host names/u) as string,
    });
    const { checks } = await inspectDocker({ daemon });
    expect(checks.at(-1)).toMatchObject({ name: "container daemon", ok: false });
  });

  it("whose image is not there, and cannot be pulled, says so, and leaves nothing", async () => {
    const image = "localhost:1/none:1";
    await expect(place.engine({ image })).rejects.toMatchObject({
      code: "OL_SANDBOX_BAD_IMAGE",
      message: expect.stringMatching(
        /localhost:1\/none:1 is not there, and cannot be pulled: .*base_image/u,
      ) as string,
    });
    await expect(place.engine({ baseDir: path.join(place.directory, "none") })).rejects.toMatchObject({
      code: "OL_SANDBOX_BAD_IMAGE",
    });
    expect(containers()).toEqual([]);
  });

  it("whose image has no Python says so", async () => {
    const baseDir = path.join(place.directory, "empty");
    await mkdir(path.join(baseDir, "etc"), { recursive: true });
    await expect(place.engine({ baseDir })).rejects.toMatchObject({
      code: "OL_SANDBOX_BAD_IMAGE",
      message: expect.stringMatching(/python3.*not found/u) as string,
    });
    expect(containers()).toEqual([]);
  });

  it("whose image lets not everybody write to /tmp says so, but makes a better one of such a directory", async () => {
    const { daemon } = await findDaemon({ host: place.daemon.host });
    const baseDir = path.join(place.directory, "closed");
    // No links: others read a base that is given, and would find it changed.
    execFileSync("cp", ["-a", place.options.baseDir ?? "", baseDir]);
    await rm(path.join(baseDir, "tmp"), { recursive: true, force: true });
    // As in a base that ol-admin has made of an archive.
    await mkdir(path.join(baseDir, "tmp"), { mode: 0o755 });
    const archive = spawn("tar", ["--create", "--directory", baseDir, "."], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    await daemon.import(archive.stdout, "localhost/closed", "1");
    await expect(place.engine({ image: "localhost/closed:1" })).rejects.toMatchObject({
      code: "OL_SANDBOX_BAD_IMAGE",
      message: expect.stringContaining("not everybody may write to /tmp") as string,
    });
    expect(containers()).toEqual([]);
    await using engine = await place.engine({ baseDir });
    expect(engine.image).not.toBe("localhost/closed:1");
  });

  it("builds its image from the Dockerfile where none is named, once, or says why it cannot", async () => {
    const { daemon } = await findDaemon({ host: place.daemon.host });
    await using engine = await place.engine();
    const said: string[] = [];
    const logger = { ...silentLogger, info: (message: string) => void said.push(message) };
    const built = await prepareImage(daemon, { buildBase: engine.image }, logger);
    await using other = await place.engine({
      image: built,
      workerName: "worker-1",
      workDir: path.join(place.directory, "worker-1"),
    });
    expect(other.python).toBe(engine.python);
    expect(await prepareImage(daemon, { buildBase: engine.image }, logger)).toBe(built);
    expect(said).toEqual(["building the image of sandboxes"]);
    await engine.close();
    const { baseDir: _none, ...options } = place.options;
    await expect(DockerEngine.create(options)).rejects.toMatchObject({
      code: "OL_SANDBOX_BAD_IMAGE",
      message: expect.stringMatching(/one cannot be built: .*docker\.base_image/u) as string,
    });
  });

  it("does not have network outbound, nor a second engine beside it", async () => {
    await using engine = await place.engine();
    await using pool = poolOf(engine);
    await expect(pool.acquire(specOf("echo", { network: "outbound" }))).rejects.toMatchObject({
      code: "OL_SANDBOX_NETWORK_UNAVAILABLE",
    });
    await expect(place.engine()).rejects.toMatchObject({ code: "OL_SANDBOX_DIRECTORY_IN_USE" });
    await expect(sweepDocker(place.options)).rejects.toMatchObject({ code: "OL_SANDBOX_DIRECTORY_IN_USE" });
    await expect(place.engine({ runtime: "none" })).rejects.toMatchObject({ code: "OL_SANDBOX_BAD_OPTIONS" });
  });
});

describe("a sandbox", () => {
  it("that fills its scratch directory is ended for it, and its output is kept", async () => {
    const logDir = path.join(place.directory, "logs");
    const codeDir = path.join(place.directory, "code");
    await mkdir(path.join(codeDir, "fill"), { recursive: true });
    const code =
      "import time\ndef f(event):\n    print('filling')\n    open('/host/much', 'wb').write(b'x' * (event << 20))\n    open('/host/more', 'wb').write(b'x' * (event << 20))\n    time.sleep(30)\n";
    await writeFile(path.join(codeDir, "fill", "f.py"), code);
    await using engine = await place.engine({ codeDir, logDir });
    await using pool = poolOf(engine);
    const sandbox = await pool.acquire(specOf("fill"));
    await expect(resultOf(sandbox, 3)).rejects.toMatchObject({ code: "OL_SANDBOX_OUT_OF_DISK" });
    expect(await sandbox.exited).toEqual({ reason: "out-of-disk" });
    await sandbox.destroy();
    expect(await readFile(path.join(logDir, "fill", `${sandbox.id}.stdout`), "utf8")).toBe("call filling\n");
    const left = await readdir(path.join(place.options.workDir, "handlers"));
    expect(left.filter((name) => name !== ".waiting")).toEqual([]);
  });

  it("leaves what is to be kept of it to all, as plain files, and nothing that is not plain", async () => {
    const packagesDir = path.join(place.directory, "packages");
    await mkdir(path.join(packagesDir, "3"), { recursive: true });
    const code = path.join(place.directory, "code", "keeper");
    await mkdir(code, { recursive: true });
    await writeFile(
      path.join(code, "f.py"),
      "import os\ndef f(event):\n    os.makedirs('/host/good/in')\n    open('/host/good/in/a', 'w').write('kept')\n    os.makedirs('/host/bad')\n    os.symlink('/etc/shadow', '/host/bad/a')\n",
    );
    await using engine = await place.engine({ codeDir: path.dirname(code), packagesDir });
    await using pool = poolOf(engine);
    const sandbox = await pool.acquire(specOf("keeper", { scratchOnDisk: true }));
    await resultOf(sandbox, 0);
    const outcomes = await sandbox.keep([
      { source: "good", target: "3/good" },
      { source: "bad", target: "3/bad" },
    ]);
    expect(outcomes.map(({ kind }) => kind)).toEqual(["kept", "refused"]);
    expect(await readFile(path.join(packagesDir, "3/good/in/a"), "utf8")).toBe("kept");
    expect(await readdir(path.join(packagesDir, "3"))).toEqual(["good"]);
  });

  it("that was made of a container started in advance sees its own code, and no other's", async () => {
    await using engine = await place.engine({ prepared: 1 });
    await using pool = poolOf(engine);
    const first = await pool.acquire(specOf("echo"));
    expect(await resultOf(first, 1)).toBe(1);
    expect(await eventually(() => engine.stats().prepared === 1, CREATE_MS)).toBe(true);
    const before = containers();
    const second = await pool.acquire(specOf("count"));
    // It was there before.
    expect(containers().filter((name) => !before.includes(name))).toEqual([]);
    expect(await resultOf(second, 0)).toBe(1);
    expect(await resultOf(second, 0)).toBe(2);
    // Not of the same kind.
    const third = await pool.acquire(specOf("echo", { limits: { ...LIMITS, memoryMb: 65 } }));
    expect(await resultOf(third, 3)).toBe(3);
    await pool.close();
    await engine.close();
    expect(containers()).toEqual([]);
  });
});

describe("when the daemon", () => {
  it.each([
    ["is killed", () => place.daemon.kill()],
    ["is stopped", () => place.daemon.stop()],
  ])("%s its sandboxes are lost, and once it is back the same engine makes others", async (_how, end) => {
    await using engine = await place.engine();
    await using pool = poolOf(engine);
    const sandbox = await pool.acquire(specOf("sleep"));
    await sandbox.ready;
    const call = sandbox.call({ invocationId: "call", body: Buffer.from("30"), timeoutMs: CREATE_MS });
    const failed = call.then(
      () => undefined,
      (error: unknown) => error,
    );
    await end();
    expect(await failed).toMatchObject({ status: 502 });
    expect(["lost", "signal"]).toContain((await sandbox.exited).reason);
    await expect(pool.acquire(specOf("echo"))).rejects.toMatchObject({
      code: "OL_SANDBOX_DAEMON_UNAVAILABLE",
    });
    await place.daemon.start();
    expect(await resultOf(await pool.acquire(specOf("echo")), "again")).toBe("again");
    expect(await eventually(() => containers().length === 1, CREATE_MS)).toBe(true);
    await pool.close();
    await engine.close();
    expect(containers()).toEqual([]);
  });

  it("hangs, sandboxes that run go on, others are not made in time, and later they are", async () => {
    await using engine = await place.engine();
    await using pool = poolOf(engine, 5_000);
    const sandbox = await pool.acquire(specOf("echo"));
    await sandbox.ready;
    place.daemon.pause();
    try {
      expect(await resultOf(sandbox, "goes on")).toBe("goes on");
      await expect(pool.acquire(specOf("echo"))).rejects.toMatchObject({ code: "OL_SANDBOX_CREATE_FAILED" });
    } finally {
      place.daemon.resume();
    }
    await using later = poolOf(engine);
    expect(await resultOf(await later.acquire(specOf("echo")), 2)).toBe(2);
    await later.close();
    await pool.close();
    await engine.close();
    expect(containers()).toEqual([]);
  });
});

describe("a worker that was killed", () => {
  it("leaves containers, which a sweep removes, and so does the next start", async () => {
    const program = `
      import { DockerEngine, SandboxPool } from "@ol/sandbox";
      const engine = await DockerEngine.create(JSON.parse(process.argv[1]));
      const pool = SandboxPool.create({ engine, memoryMb: 500, createMs: 60000 });
      const sandbox = await pool.acquire(JSON.parse(process.argv[2]));
      await sandbox.ready;
      await sandbox.pause();
      console.log("ready");
      setInterval(() => {}, 1000);
    `;
    const crash = async (): Promise<void> => {
      const args = [
        "--input-type=module",
        "-e",
        program,
        JSON.stringify(place.options),
        JSON.stringify(specOf("echo")),
      ];
      const child = spawn(process.execPath, args, {
        cwd: fileURLToPath(new URL("../../../worker", import.meta.url)),
        stdio: ["ignore", "pipe", "inherit"],
      });
      await once(child.stdout, "data");
      child.kill("SIGKILL");
      await once(child, "exit");
    };
    await crash();
    expect(containers()).toHaveLength(1);
    expect((await sweepDocker(place.options)).removed).toBeGreaterThanOrEqual(2);
    expect(containers()).toEqual([]);
    expect(await readdir(path.join(place.options.workDir, "handlers"))).toEqual([]);
    await crash();
    await using engine = await place.engine();
    expect(engine.swept).toBeGreaterThanOrEqual(2);
    expect(containers()).toEqual([]);
  });
});
