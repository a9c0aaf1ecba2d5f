import { mkdir, mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";

import { DockerEngine } from "../../src/docker/engine.ts";
import type { DockerEngineOptions } from "../../src/docker/options.ts";
import { CONFORMANCE_HANDLERS_DIR } from "../../src/testing/index.ts";
import { makeBase } from "./base.ts";
import { removeAll } from "./cluster.ts";
import { type DaemonKind, TestDaemon } from "./docker-daemon.ts";

/** A daemon with an image, and directories for engines that use it, one after the other. */
export class DockerPlace implements AsyncDisposable {
  readonly daemon: TestDaemon;
  readonly directory: string;
  readonly id: string = Math.random().toString(36).slice(2, 10).padEnd(8, "0");

  static async make(kind: DaemonKind): Promise<DockerPlace> {
    const directory = await mkdtemp(path.join(tmpdir(), "ol-docker-"));
    const base = path.join(directory, "base");
    await mkdir(base);
    const [daemon] = await Promise.all([TestDaemon.start(kind), makeBase(base, true)]);
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
      baseDir: path.join(this.directory, "base"),
      daemon: { host: this.daemon.host },
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
