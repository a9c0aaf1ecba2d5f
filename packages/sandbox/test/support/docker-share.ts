import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

import { afterAll, beforeAll, expect } from "vitest";

import type { DockerEngine } from "../../src/docker/engine.ts";
import type { DockerEngineOptions } from "../../src/docker/options.ts";
import type { SandboxSpec } from "../../src/engine.ts";
import { type Sandbox, SandboxPool } from "../../src/index.ts";
import type { DaemonKind } from "./docker-daemon.ts";
import { DockerPlace, MAKE_MS } from "./docker-place.ts";
import { SLOWNESS } from "./scale.ts";

export const HANDLERS: string = fileURLToPath(new URL("../handlers", import.meta.url));
export const CALL_MS = 30_000 * SLOWNESS;
export const LIMITS: SandboxSpec["limits"] = {
  memoryMb: 64,
  swappiness: 0,
  procs: 10,
  cpuPercent: 200,
  logMb: 1,
  scratchMb: 4,
};

/** A container as the daemon lists it. */
interface Container {
  readonly Id: string;
  readonly Labels: Readonly<Record<string, string>>;
}

/** What the daemon says of one. */
interface Inspected {
  readonly State: { readonly Pid: number };
}

/** What the kernel lets a container use. */
interface Allowed {
  readonly memoryMb: number;
  readonly procs: number;
  readonly cpuPercent: number;
}

const GROUPS = "/sys/fs/cgroup";

/** What the handler `shared` says of its process. */
interface Me {
  readonly pid: number;
  readonly session: number;
  readonly parent: number;
}

/** A sandbox of the handler `shared`, as a lambda of that name. */
export const specOf = (name: string, more: Partial<SandboxSpec> = {}): SandboxSpec => ({
  name,
  code: "shared",
  network: "none",
  environment: {},
  limits: LIMITS,
  ...more,
});

export const poolOf = (engine: DockerEngine): SandboxPool =>
  SandboxPool.create({ engine, memoryMb: 4_000, createMs: MAKE_MS });

/** `event`: which of its functions, and with what. */
export const call = (sandbox: Sandbox, ...event: readonly unknown[]): ReturnType<Sandbox["call"]> =>
  sandbox.call({ invocationId: "call", body: Buffer.from(JSON.stringify(event)), timeoutMs: CALL_MS });

/** The result of a call that must succeed. */
export const ask = async (sandbox: Sandbox, ...event: readonly unknown[]): Promise<unknown> => {
  const reply = await call(sandbox, ...event);
  expect(reply.failure === undefined ? "" : reply.body.toString()).toBe("");
  return JSON.parse(reply.body.toString());
};

export const whoIs = async (sandbox: Sandbox): Promise<Me> => (await ask(sandbox, "me")) as Me;

/** A child of it, one that lost its parent, and one that claims to be its sibling; they sleep. */
export const breed = async (sandbox: Sandbox): Promise<number[]> => (await ask(sandbox, "breed")) as number[];

/** As in /proc/PID/stat, of those that have not ended, as another sandbox of their container sees them. */
export const statesOf = async (sandbox: Sandbox, pids: readonly number[]): Promise<string[]> =>
  ((await ask(sandbox, "alive", pids)) as [number, string][]).map(([, state]) => state);

/** What a promise comes to that is not to succeed. */
export const failureOf = async (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => undefined,
    (error: unknown) => error,
  );

/** Two of a lambda that answer. */
export const two = async (pool: SandboxPool, name: string): Promise<[Sandbox, Sandbox]> => {
  const both = await Promise.all([pool.acquire(specOf(name)), pool.acquire(specOf(name))]);
  await Promise.all(both.map((each) => each.ready));
  return both;
};

/** A daemon, whose containers are seen by the labels that they have. */
export class SharePlace implements AsyncDisposable {
  readonly place: DockerPlace;

  static async make(kind: DaemonKind = "docker"): Promise<SharePlace> {
    return new SharePlace(await DockerPlace.make(kind));
  }

  private constructor(place: DockerPlace) {
    this.place = place;
  }

  options(workerName: string, more: Partial<DockerEngineOptions> = {}): DockerEngineOptions {
    const workDir = path.join(this.place.directory, workerName);
    return { ...this.place.options, codeDir: HANDLERS, share: "lambda", workerName, workDir, ...more };
  }

  engine(workerName: string, more: Partial<DockerEngineOptions> = {}): Promise<DockerEngine> {
    return this.place.engine(this.options(workerName, more));
  }

  /** With this value of this label; default: all. */
  containers(label?: "lambda" | "worker", value?: string): Container[] {
    const all = this.#says("/containers/json?all=1") as Container[];
    return all.filter(({ Labels }) => label === undefined || Labels[`openlambda.${label}`] === value);
  }

  /** The host's number of the first process in the one container of a lambda. */
  pidIn(lambda: string): number {
    const { Id = "none" } = this.containers("lambda", lambda)[0] ?? {};
    return (this.#says(`/containers/${Id}/json`) as Inspected).State.Pid;
  }

  /** The processes below the first one in the one container of a lambda. */
  childrenIn(lambda: string): readonly string[] {
    const pid = this.pidIn(lambda);
    return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean);
  }

  /** Of the one container of a lambda, by its control group: Podman tells of what was when it was made. */
  allowedTo(lambda: string): Allowed {
    const lines = readFileSync(`/proc/${this.pidIn(lambda)}/cgroup`, "utf8").split("\n");
    const read = (controller: string, first: string, second: string): number => {
      const line = lines.find((each) => each.split(":")[1]?.split(",").includes(controller) === true);
      const group = (line ?? lines.find((each) => each.startsWith("0::")) ?? "").split(":")[2] ?? "";
      const file =
        line === undefined ? `${GROUPS}${group}/${second}` : `${GROUPS}/${controller}${group}/${first}`;
      return Number(readFileSync(file, "utf8").trim().split(" ")[0]);
    };
    return {
      memoryMb: read("memory", "memory.limit_in_bytes", "memory.max") / (1 << 20),
      procs: read("pids", "pids.max", "pids.max"),
      cpuPercent: read("cpu", "cpu.cfs_quota_us", "cpu.max") / 1_000,
    };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.place[Symbol.asyncDispose]();
  }

  #says(address: string): unknown {
    const words = ["-s", "--unix-socket", this.place.daemon.socket, `http://d${address}`];
    return JSON.parse(execFileSync("curl", words, { encoding: "utf8" }));
  }
}

/** What a file's tests share: a place, and an engine in it. */
export interface ShareRig {
  readonly place: SharePlace;
  readonly engine: DockerEngine;
}

const made = <Thing>(thing: Thing | undefined): Thing => {
  if (thing === undefined) throw new Error("no test has begun");
  return thing;
};

/** Made before a file's tests, and gone after them. `more` of the engine's options, once there is a place. */
export const shareRig = (
  more: (place: SharePlace) => Partial<DockerEngineOptions> = () => ({}),
): ShareRig => {
  let place: SharePlace | undefined;
  let engine: DockerEngine | undefined;
  beforeAll(async () => {
    place = await SharePlace.make();
    engine = await place.engine("main", more(place));
  }, MAKE_MS);
  afterAll(async () => {
    await engine?.close();
    await place?.[Symbol.asyncDispose]();
  }, MAKE_MS);
  return {
    get place() {
      return made(place);
    },
    get engine() {
      return made(engine);
    },
  };
};
