import { mkdir, mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";

import { DockerEngine } from "../../src/docker/engine.ts";
import type { DockerEngineOptions } from "../../src/docker/options.ts";
import { CONFORMANCE_HANDLERS_DIR } from "../../src/testing/index.ts";
import { makeBase } from "./base.ts";
import { removeAll } from "./cluster.ts";
import { type DaemonKind, type DaemonWays, TestDaemon } from "./docker-daemon.ts";
import { SLOWNESS } from "./scale.ts";

/** For a daemon, an image and a first container. */
export const MAKE_MS = 120_000 * SLOWNESS;

/** A root file system for the image, such as mmdebstrap's; default: one of this machine's own files. */
const GIVEN = process.env["OL_TEST_DOCKER_BASE"];

/** The program of another OCI runtime that everything is to run with, such as crun's; default: the daemon's own. */
const RUNTIME = process.env["OL_TEST_DOCKER_RUNTIME"];

const withRuntime = (ways: DaemonWays): DaemonWays =>
  RUNTIME === undefined ? ways : { ...ways, runtimes: { ...ways.runtimes, given: RUNTIME } };

/** A daemon with an image, and directories for engines that use it, one after the other. */
export class DockerPlace implements AsyncDisposable {
  readonly daemon: TestDaemon;
  readonly directory: string;
  readonly id: string = Math.random().toString(36).slice(2, 10).padEnd(8, "0");

  static async make(kind: DaemonKind, ways: DaemonWays = {}): Promise<DockerPlace> {
    const directory = await mkdtemp(path.join(tmpdir(), "ol-docker-"));
    const base = path.join(directory, "base");
    const making = GIVEN === undefined ? mkdir(base).then(() => makeBase(base, true)) : undefined;
    const [daemon] = await Promise.all([TestDaemon.start(kind, withRuntime(ways)), making]);
    return new DockerPlace(daemon, directory);
  }

  private constructor(daemon: TestDaemon, directory: string) {
    this.daemon = daemon;
    this.directory = directory;
  }

  get options(): DockerEngineOptions {
    return {
      clusterId: this.id,
      workerName: "worker-0",
      workDir: path.join(this.directory, "worker-0"),
      codeDir: CONFORMANCE_HANDLERS_DIR,
      baseDir: GIVEN ?? path.join(this.directory, "base"),
      daemon: { host: this.daemon.host },
      ...(RUNTIME !== undefined && this.daemon.kind === "docker" && { runtime: "given" }),
    };
  }

  engine(options: Partial<DockerEngineOptions> = {}): Promise<DockerEngine> {
    return DockerEngine.create({ ...this.options, ...options });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.daemon[Symbol.asyncDispose]();
    removeAll(this.directory);
  }
}
