import { access, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";

import { isOlError, messageOf, silentLogger } from "@ol/common";

import { SandboxPool } from "../pool.ts";
import { findPython } from "../sock/python.ts";
import type { HostCheck, HostReport, SweepReport } from "../sock/host.ts";
import { DockerEngine } from "./engine.ts";
import { findDaemon } from "./find-daemon.ts";
import { sweepGround } from "./ground.ts";
import type { DockerEngineOptions } from "./options.ts";

type Inspected = Pick<
  DockerEngineOptions,
  "python" | "baseDir" | "image" | "imagePython" | "daemon" | "runtime" | "share" | "logger"
>;

const TRIAL_CODE = "def f(event):\n    return event\n";
const TRIAL_LIMITS = { memoryMb: 64, swappiness: 0, procs: 10, cpuPercent: 100, logMb: 1, scratchMb: 10 };
const TRIAL_TIMEOUT_MS = 10_000;
const CREATE_MS = 30_000;

/** Looks at the daemon and the image, and then makes one sandbox in a temporary directory, since only that proves anything. */
export const inspectDocker = async (options: Inspected = {}): Promise<HostReport> => {
  const checks: HostCheck[] = [await checkPython(options), await checkDaemon(options)];
  if (checks.some(({ ok }) => !ok)) return { checks };
  const directory = await mkdtemp(path.join(tmpdir(), "ol-doctor-"));
  try {
    const { tried, ...report } = await trySandbox(directory, options);
    return { ...report, checks: [...checks, ...tried] };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
};

const checkPython = async ({ python: command }: Inspected): Promise<HostCheck> => {
  try {
    const python = await findPython(command);
    return { name: "python", ok: true, detail: `${python.version} at ${python.path}` };
  } catch (error) {
    return { name: "python", ok: false, detail: messageOf(error) };
  }
};

const checkDaemon = async (options: Inspected): Promise<HostCheck> => {
  const name = "container daemon";
  try {
    const { daemon, info } = await findDaemon(options.daemon ?? {});
    return { name, ok: true, detail: `${info.product} at ${daemon.address}` };
  } catch (error) {
    if (!isOlError(error)) throw error;
    return { name, ok: false, detail: error.message };
  }
};

const trySandbox = async (
  directory: string,
  options: Inspected,
): Promise<{ readonly tried: readonly HostCheck[] } & Pick<HostReport, "enforcement">> => {
  const name = "sandbox";
  try {
    const codeDir = path.join(directory, "code");
    await mkdir(path.join(codeDir, "trial"), { recursive: true });
    await writeFile(path.join(codeDir, "trial", "f.py"), TRIAL_CODE);
    await using engine = await DockerEngine.create({
      ...options,
      clusterId: Math.random().toString(36).slice(2, 10).padEnd(8, "0"),
      workerName: "doctor",
      workDir: path.join(directory, "work"),
      codeDir,
    });
    await using pool = SandboxPool.create({
      engine,
      memoryMb: 2 * TRIAL_LIMITS.memoryMb,
      createMs: CREATE_MS,
    });
    const spec = {
      name: "trial",
      code: "trial",
      network: "none",
      environment: {},
      limits: TRIAL_LIMITS,
    } as const;
    const sandbox = await pool.acquire(spec);
    const body = Buffer.from('"works"');
    const reply = await sandbox.call({ invocationId: "doctor", body, timeoutMs: TRIAL_TIMEOUT_MS });
    const ok = reply.failure === undefined && reply.body.equals(body);
    const detail = ok ? "one was made, and answered" : `one was made, but answered ${reply.body.toString()}`;
    const image = { name: "image", ok: true, detail: `${engine.image}, Python ${engine.python}` };
    return { tried: [image, { name, ok, detail }], enforcement: engine.enforcement };
  } catch (error) {
    if (!isOlError(error)) throw error;
    const failed = isOlError(error, "OL_SANDBOX_BAD_IMAGE") ? "image" : name;
    return { tried: [{ name: failed, ok: false, detail: error.message }] };
  }
};

/**
 * Removes what a worker that is gone left behind: containers, scratch directories, sockets. Fails with OL_SANDBOX_DIRECTORY_IN_USE
 * while the worker lives, and with OL_SANDBOX_DAEMON_UNAVAILABLE.
 */
export const sweepDocker = async (
  options: Pick<
    DockerEngineOptions,
    "clusterId" | "workerName" | "workDir" | "codeDir" | "daemon" | "python" | "logger"
  >,
): Promise<SweepReport> => {
  try {
    await access(options.workDir);
  } catch {
    // A worker that never started has left nothing.
    return { removed: 0 };
  }
  return { removed: await sweepGround(options, options.logger ?? silentLogger) };
};
