import { randomBytes } from "node:crypto";
import { join } from "node:path";

import type { NetworkClass } from "@ol/common";
import {
  DockerEngine,
  type DockerEngineOptions,
  inspectDocker,
  type SandboxEngine,
  SockEngine,
} from "@ol/sandbox";

import { benchError } from "./errors.ts";
import { keeperOf } from "./peers/containers.ts";
import { runTool } from "./peers/tool.ts";
import type { Skipped } from "./results.ts";

/** What an engine is made for. */
export interface EngineOptions {
  /** Letters, digits and dashes. */
  readonly name: string;
  /** Of this run alone; removed by its owner. */
  readonly directory: string;
  /** Where the lambdas are. */
  readonly codeDir: string;
  readonly python: string;
  /** Processes, or containers, that wait to become sandboxes. */
  readonly prepared: number;
  readonly networks: readonly NetworkClass[];
  readonly packagesDir?: string | undefined;
  /** Whether sandboxes tell what the steps of making them took, if the engine knows how. */
  readonly steps?: boolean;
}

/** A kind of engine that can be measured. */
export interface EngineKind {
  /** Why it cannot be used here, and what to do; undefined if it can. */
  missing(): Promise<string | undefined>;
  start(options: EngineOptions): Promise<SandboxEngine>;
  /** How long sandboxes are made and ended before anything is measured; default 1,000. */
  readonly warmUpMs?: number;
  /** Processes below which sandboxes are, where that is not this process; only their memory is asked for. */
  roots?(engine: SandboxEngine): Promise<readonly number[]>;
}

/** Of all engines of this process, whose names differ. */
const CLUSTER_ID = `b${randomBytes(4).toString("hex")}`.slice(0, 8);

/** Containers are made where the command `docker` makes them, of the image that OL_BENCH_IMAGE names or of one that is built. */
const dockerPlace = (): Pick<DockerEngineOptions, "daemon" | "image"> => {
  const image = process.env["OL_BENCH_IMAGE"];
  return { daemon: { environment: process.env }, ...(image !== undefined && { image }) };
};

/** What every engine is told. */
const commonOf = ({ name, directory, codeDir, python, prepared, packagesDir }: EngineOptions) => ({
  clusterId: CLUSTER_ID,
  workerName: name,
  workDir: join(directory, "work"),
  codeDir,
  python,
  prepared,
  ...(packagesDir !== undefined && { packagesDir }),
});

const containers = (more: Pick<DockerEngineOptions, "share">): EngineKind => ({
  missing: async () => {
    const wrong = (await inspectDocker(dockerPlace())).checks.find(({ ok }) => !ok);
    return wrong === undefined ? undefined : `${wrong.name}: ${wrong.detail}`;
  },
  start: (options) => DockerEngine.create({ ...dockerPlace(), ...more, ...commonOf(options) }),
  // Containers are their daemon's children, and not this process's.
  roots: async (engine) => {
    const place = ["--host", (engine as DockerEngine).daemon.address];
    const ours = ["ps", "--quiet", "--filter", `name=ol-${CLUSTER_ID}-`];
    const ids = (await runTool("docker", [...place, ...ours])).split("\n").filter((id) => id !== "");
    return (await Promise.all(ids.map((id) => keeperOf("docker", id, place)))).flat();
  },
});

/** Every engine that there is, by its name on the command line. */
export const ENGINES: Readonly<Record<string, EngineKind>> = {
  sock: {
    missing: async () => undefined,
    start: (options) => {
      const { networks, steps = false } = options;
      return SockEngine.create({ ...commonOf(options), networks, steps });
    },
  },
  docker: containers({}),
  // The zygote in a container begins to import the standard library when the first sandbox is wanted.
  "docker-shared": { ...containers({ share: "lambda" }), warmUpMs: 4_000 },
};

/** An engine that there is; fails with OL_BENCH_USAGE. */
export const engineKind = (name: string): EngineKind => {
  const kind = ENGINES[name];
  if (kind === undefined)
    throw benchError(
      "OL_BENCH_USAGE",
      `--engine: there is no ${name}, only ${Object.keys(ENGINES).join(", ")}`,
    );
  return kind;
};

/** Those of the named engines that can be used here, and why the others cannot. */
export const findEngines = async (
  names: readonly string[],
): Promise<{ found: readonly string[]; skipped: readonly Skipped[] }> => {
  const found: string[] = [];
  const skipped: Skipped[] = [];
  for (const name of names) {
    const reason = await engineKind(name).missing();
    if (reason === undefined) found.push(name);
    else skipped.push({ name, reason });
  }
  return { found, skipped };
};
