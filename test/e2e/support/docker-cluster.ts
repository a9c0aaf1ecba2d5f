import type { DaemonKind } from "../../../packages/sandbox/test/support/docker-daemon.ts";
import { DockerPlace } from "../../../packages/sandbox/test/support/docker-place.ts";

/** `docker.share` of the workers that the tests have; default: off. */
export const SHARE: string = process.env["OL_TEST_DOCKER_SHARE"] ?? "off";

/** A daemon for workers of a test file, started when the first of them is configured. */
export class DockerCluster implements AsyncDisposable {
  readonly #kind: DaemonKind;
  #place: Promise<DockerPlace> | undefined;

  constructor(kind: DaemonKind) {
    this.#kind = kind;
  }

  place(): Promise<DockerPlace> {
    this.#place ??= DockerPlace.make(this.#kind);
    return this.#place;
  }

  /** A worker's configuration. */
  async config(): Promise<Readonly<Record<string, unknown>>> {
    const place = await this.place();
    // A container takes a second where others are made too.
    return {
      queue_timeout_ms: 60_000,
      sandbox: "docker",
      docker: { host: place.daemon.host, share: SHARE },
      sock_base_path: place.options.baseDir,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await (await this.#place)?.[Symbol.asyncDispose]();
  }
}
