import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { arch, platform, release } from "node:os";

import { isOlError, messageOf, type OlError } from "@ol/common";

import type { Enforcement, SandboxSpec } from "../engine.ts";
import type { SandboxPool } from "../pool.ts";
import { SockEngine } from "./engine.ts";
import { hasLeftGroup } from "./left-groups.ts";
import type { SockEngineOptions } from "./options.ts";
import { findPython } from "./python.ts";
import { groupNameOf } from "./start-fields.ts";
import { type Inspected, Trial } from "./trial.ts";

/** One thing that was looked at. */
export interface HostCheck {
  readonly name: string;
  readonly ok: boolean;
  /** One sentence: what was found, and if that is not enough, what to do. */
  readonly detail: string;
}

/** What `ol-admin doctor` tells of a machine. */
export interface HostReport {
  readonly checks: readonly HostCheck[];
  /** What a worker can do without: only lambdas that ask for it are refused. */
  readonly optional?: readonly HostCheck[];
  /** What limits and isolation a worker started by this user would have; absent if no sandbox could be made. */
  readonly enforcement?: Enforcement;
}

/** What `sweepSock` did. */
export interface SweepReport {
  /** Directories and sockets of earlier sandboxes that were removed. */
  readonly removed: number;
}

// mount_setattr, which makes detached mounts read-only.
const OLDEST_KERNEL = [5, 12] as const;

/** What has to be so before any sandbox can be made: Linux, a kernel and a Python that are new enough. */
export const checkHost = async (python: string | undefined): Promise<readonly HostCheck[]> => [
  checkMachine(),
  checkKernel(),
  await checkPython(python),
];

/** Looks at this machine, and then makes one sandbox in a temporary directory, since only that proves anything. */
export const inspectHost = async (options: Inspected = {}): Promise<HostReport> => {
  const checks = await checkHost(options.python);
  if (checks.some((check) => !check.ok)) return { checks };
  const { tried, optional = [], enforcement } = await trySandbox(options);
  return { checks: [...checks, ...tried], optional, ...(enforcement && { enforcement }) };
};

const checkMachine = (): HostCheck => {
  const ok = platform() === "linux" && arch() === "x64";
  const found = `${platform()} on ${arch()}`;
  return { name: "machine", ok, detail: ok ? found : `sandboxes need Linux on x64, and this is ${found}` };
};

const checkKernel = (): HostCheck => {
  const [major = 0, minor = 0] = release().split(".").map(Number);
  const ok = major > OLDEST_KERNEL[0] || (major === OLDEST_KERNEL[0] && minor >= OLDEST_KERNEL[1]);
  const detail = ok
    ? release()
    : `Linux ${OLDEST_KERNEL.join(".")} or newer is needed, and this is ${release()}`;
  return { name: "kernel", ok, detail };
};

const checkPython = async (command: string | undefined): Promise<HostCheck> => {
  try {
    const python = await findPython(command);
    return { name: "python", ok: true, detail: `${python.version} at ${python.path}` };
  } catch (error) {
    return { name: "python", ok: false, detail: messageOf(error) };
  }
};

const TRIAL_CODE = "def f(event):\n    return event\n";

interface Tried {
  /** The base and the sandbox, or the one of them that failed. */
  readonly tried: readonly HostCheck[];
  readonly optional?: readonly HostCheck[];
  readonly enforcement?: Enforcement;
}

const trySandbox = async (options: Inspected): Promise<Tried> => {
  try {
    await using trial = await Trial.create(TRIAL_CODE, options);
    const { engine, pool, spec } = trial;
    const body = Buffer.from('"works"');
    const reply = await trial.call(body);
    const ok = reply.failure === undefined && reply.body.equals(body);
    const detail = ok ? "one was made, and answered" : `one was made, but answered ${reply.body.toString()}`;
    const optional = [await tryOutbound(pool, spec)];
    return {
      tried: [baseCheck(engine, options), { name: "sandbox", ok, detail }],
      optional,
      enforcement: engine.enforcement,
    };
  } catch (error) {
    if (!isOlError(error)) throw error;
    return { tried: [failedTrial(error)] };
  }
};

/** Of a base on which an engine has started. */
export const baseCheck = (engine: SockEngine, { baseDir }: Inspected): HostCheck => ({
  name: "base",
  ok: true,
  detail: `${baseDir ?? "this machine's own /usr"}, Python ${engine.python}`,
});

/** What a trial failed of: its base, or all else. */
export const failedTrial = (error: OlError): HostCheck => ({
  name: isOlError(error, "OL_SANDBOX_BAD_BASE") ? "base" : "sandbox",
  ok: false,
  detail: error.message,
});

const tryOutbound = async (pool: SandboxPool, spec: SandboxSpec): Promise<HostCheck> => {
  const name = "network outbound";
  try {
    await using sandbox = await pool.acquire({ ...spec, network: "outbound" });
    await sandbox.ready;
    return { name, ok: true, detail: "a sandbox with it was made" };
  } catch (error) {
    if (!isOlError(error)) throw error;
    return { name, ok: false, detail: error.message };
  }
};

/**
 * Removes what a worker that is gone left behind: cgroups, scratch directories, sockets. Fails with
 * OL_SANDBOX_DIRECTORY_IN_USE while the worker lives.
 */
export const sweepSock = async (
  options: Pick<SockEngineOptions, "clusterId" | "workerName" | "workDir" | "codeDir" | "python" | "logger">,
): Promise<SweepReport> => {
  if (existsSync(options.workDir)) return sweepAs(options);
  // A worker that never started has left nothing; of one whose directory somebody removed, the groups are there.
  if (!(await hasLeftGroup(groupNameOf(options)))) return { removed: 0 };
  try {
    return await sweepAs(options);
  } finally {
    await rm(options.workDir, { recursive: true, force: true });
  }
};

const sweepAs = async (options: Parameters<typeof sweepSock>[0]): Promise<SweepReport> => {
  const engine = await SockEngine.create({ ...options, prepared: 0, networks: [] });
  await engine.close();
  return { removed: engine.swept };
};
