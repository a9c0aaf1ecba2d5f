import { Agent } from "node:http";
import { Agent as TlsAgent } from "node:https";
import { once } from "node:events";
import type { Readable } from "node:stream";

import type Docker from "dockerode";

import { type DaemonAddress, daemonConnection, deferred, messageOf } from "@ol/common";

import { sandboxError } from "../errors.ts";
import { framesText, infoOf, resourcesOf } from "./daemon-answers.ts";
import { Gate } from "./gate.ts";
import {
  type ContainerBody,
  type ContainerDaemon,
  type ContainerLimits,
  type ContainerState,
  type DaemonInfo,
  DaemonRefusal,
  type LabelledContainer,
} from "./daemon.ts";

/** A machine with much to do takes seconds to start a container. */
const CALL_MS = 20_000;
/** What starts or ends processes takes turns: more at once make each slower, and the last too slow. */
const MOST_AT_ONCE = 4;
const QUICK_MS = 5_000;
/** An image of some gigabytes over a slow line. */
const IMAGE_MS = 1_800_000;
const REMOVALS = 10;
const REMOVE_AGAIN_MS = 200;
const NOT_FOUND = 404;
const LAST_WORDS_BYTES = 4_096;

type Fields = Readonly<Record<string, unknown>>;

interface Refused {
  readonly statusCode?: number;
  readonly json?: unknown;
  readonly message: string;
}

/** The daemon, by way of dockerode. */
export class DockerodeDaemon implements ContainerDaemon {
  readonly address: string;
  readonly socketPath: string | undefined;
  readonly #docker: Docker;
  readonly #gate = new Gate(MOST_AT_ONCE);
  #podman = false;

  /** dockerode is loaded only where it is used: with all that it needs that takes 0.2 s. */
  static async open(address: DaemonAddress): Promise<DockerodeDaemon> {
    const { default: Dockerode } = await import("dockerode");
    return new DockerodeDaemon(address, new Dockerode(connectOptions(address)));
  }

  private constructor(address: DaemonAddress, docker: Docker) {
    this.address = address.url;
    this.socketPath = address.socketPath;
    this.#docker = docker;
  }

  async info(): Promise<DaemonInfo> {
    const [info, version] = await this.#call("describe itself", QUICK_MS, (abortSignal) =>
      Promise.all([
        (this.#docker.info as Described).call(this.#docker, { abortSignal }),
        (this.#docker.version as unknown as Described).call(this.#docker, { abortSignal }),
      ]),
    );
    const known = infoOf(info, version);
    this.#podman = known.podman;
    return known;
  }

  async create(name: string, body: ContainerBody, signal?: AbortSignal): Promise<string> {
    const container = await this.#call(
      "make a container",
      CALL_MS,
      (abortSignal) =>
        this.#docker.createContainer({
          name,
          ...body,
          abortSignal,
        } as unknown as Docker.ContainerCreateOptions),
      signal,
    );
    return container.id;
  }

  async start(id: string, signal?: AbortSignal): Promise<void> {
    await this.#gate.through(() =>
      this.#call(
        "start a container",
        CALL_MS,
        (abortSignal) => this.#docker.getContainer(id).start({ abortSignal }),
        signal,
      ),
    );
  }

  async ended(id: string): Promise<number> {
    // By hand: dockerode would wait for ever for an answer that breaks off, as this one does when the daemon ends.
    const answer = await this.#stream(`/containers/${id}/wait?condition=not-running`, "POST");
    const { StatusCode } = JSON.parse(await this.#whole(answer)) as { readonly StatusCode: number };
    return StatusCode;
  }

  async inspect(id: string): Promise<ContainerState> {
    const { State } = await this.#call("look at a container", CALL_MS, (abortSignal) =>
      this.#docker.getContainer(id).inspect({ abortSignal }),
    );
    return {
      running: State.Running,
      pid: State.Pid,
      exitCode: State.ExitCode,
      outOfMemory: State.OOMKilled,
      error: State.Error,
    };
  }

  async pause(id: string): Promise<void> {
    await this.#gate.through(() =>
      this.#call("pause a container", CALL_MS, (abortSignal) =>
        this.#docker.getContainer(id).pause({ abortSignal }),
      ),
    );
  }

  async unpause(id: string): Promise<void> {
    await this.#gate.through(() =>
      this.#call("resume a container", CALL_MS, (abortSignal) =>
        this.#docker.getContainer(id).unpause({ abortSignal }),
      ),
    );
  }

  async update(id: string, { MemorySwappiness: _fixed, ...limits }: ContainerLimits): Promise<void> {
    // Podman has it among its own requests only, in the words of the OCI.
    const path = this.#podman ? `/v4.0.0/libpod/containers/${id}/update?` : `/containers/${id}/update?`;
    const options = {
      path,
      method: "POST",
      options: this.#podman ? resourcesOf(limits) : limits,
      statusCodes: { 200: true, 201: true },
    };
    await this.#gate.through(() =>
      this.#call("change a container's limits", CALL_MS, (abortSignal) =>
        this.#dial({ ...options, abortSignal }),
      ),
    );
  }

  async memoryBytes(id: string): Promise<number> {
    const stats = await this.#call("measure a container", CALL_MS, (abortSignal) => {
      const options = { stream: false as const, "one-shot": true as const, abortSignal };
      return this.#docker.getContainer(id).stats(options as { stream: false });
    });
    const memory = stats.memory_stats as Partial<typeof stats.memory_stats>;
    // What the kernel would give back at once is not held.
    const inactive = memory.stats?.total_inactive_file ?? memory.stats?.inactive_file ?? 0;
    return Math.max(0, (memory.usage ?? 0) - inactive);
  }

  async lastWords(id: string): Promise<string> {
    const log = await this.#call("read a container's log", CALL_MS, (abortSignal) =>
      this.#docker
        .getContainer(id)
        .logs({ stdout: true, stderr: true, tail: 20, follow: false, abortSignal }),
    );
    return framesText(log).slice(-LAST_WORDS_BYTES).trim();
  }

  async remove(id: string): Promise<void> {
    for (let left = REMOVALS; ; left -= 1) {
      try {
        await this.#gate.through(() =>
          this.#call("remove a container", CALL_MS, (abortSignal) =>
            this.#docker.getContainer(id).remove({ force: true, v: true, abortSignal }),
          ),
        );
        return;
      } catch (error) {
        if (!(error instanceof DaemonRefusal) || left === 0) throw error;
        if (error.status === NOT_FOUND) return;
      }
      // It was just ending, or being removed by somebody else: Podman refuses then, and Docker says so.
      await new Promise((resolve) => setTimeout(resolve, REMOVE_AGAIN_MS));
    }
  }

  async list(labels: Readonly<Record<string, string>>): Promise<readonly LabelledContainer[]> {
    const label = Object.entries(labels).map(([name, value]) => `${name}=${value}`);
    const found = await this.#call("list containers", CALL_MS, (abortSignal) =>
      this.#docker.listContainers({ all: true, filters: { label }, abortSignal }),
    );
    return found.map(({ Id, Labels, State, Created }) => ({
      id: Id,
      labels: Labels,
      state: State,
      createdMs: Created * 1_000,
    }));
  }

  async hasImage(name: string): Promise<boolean> {
    try {
      await this.#call("look for an image", CALL_MS, (abortSignal) =>
        this.#docker.getImage(name).inspect(untyped({ abortSignal })),
      );
      return true;
    } catch (error) {
      if (error instanceof DaemonRefusal && error.status === NOT_FOUND) return false;
      throw error;
    }
  }

  async pull(name: string, progress: (line: string) => void): Promise<void> {
    // A name without a tag would fetch all of them.
    const path = `/images/create?fromImage=${encodeURIComponent(tagged(name))}`;
    await this.#follow(await this.#stream(path, "POST", AbortSignal.timeout(IMAGE_MS)), progress);
  }

  async build(
    archive: Readable,
    tag: string,
    args: Readonly<Record<string, string>>,
    progress: (line: string) => void,
  ): Promise<void> {
    const answer = await this.#call("build an image", IMAGE_MS, (abortSignal) =>
      this.#docker.buildImage(archive, { t: tag, buildargs: args, forcerm: true, abortSignal }),
    );
    await this.#follow(answer as Readable, progress);
  }

  async import(archive: Readable, repository: string, tag: string): Promise<void> {
    const query = new URLSearchParams({ fromSrc: "-", repo: repository });
    const answer = await this.#stream(
      `/images/create?${query.toString()}`,
      "POST",
      AbortSignal.timeout(IMAGE_MS),
      archive,
    );
    // Podman takes no notice of a tag here. The last line is the image's id.
    let id = "";
    await this.#follow(answer, (line) => (id = line));
    await this.#call("name an image", CALL_MS, (abortSignal) =>
      this.#docker.getImage(id).tag({ repo: repository, tag, abortSignal }),
    );
  }

  async removeImage(name: string): Promise<void> {
    await this.#call("remove an image", CALL_MS, (abortSignal) =>
      this.#docker.getImage(name).remove({ abortSignal }),
    );
  }

  /** One request with a deadline; its failures in our words. */
  async #call<Result>(
    what: string,
    timeoutMs: number,
    request: (signal: AbortSignal) => Promise<Result>,
    signal?: AbortSignal,
  ): Promise<Result> {
    const deadline = AbortSignal.timeout(timeoutMs);
    const stop = signal === undefined ? deadline : AbortSignal.any([deadline, signal]);
    const stopped = deferred<never>();
    const onStop = (): void => stopped.reject(stop.reason);
    stop.addEventListener("abort", onStop, { once: true });
    try {
      stop.throwIfAborted();
      // An answer that breaks off in the middle settles nothing by itself.
      return await Promise.race([request(stop), stopped.promise]);
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      if (deadline.aborted) throw this.#unavailable(`did not ${what} within ${timeoutMs / 1_000} s`, error);
      throw this.#asOurs(error);
    } finally {
      stop.removeEventListener("abort", onStop);
    }
  }

  /** A request whose answer is read as it comes. */
  async #stream(path: string, method: string, abortSignal?: AbortSignal, file?: Readable): Promise<Readable> {
    const statusCodes = { 200: true, 400: "bad request", 404: "not found", 500: "server error" };
    // docker-modem takes the last character of a path with a query away.
    const options = { path: `${path}&`, method, isStream: true, statusCodes, abortSignal, file };
    try {
      return (await this.#dial(options)) as Readable;
    } catch (error) {
      throw this.#asOurs(error);
    }
  }

  #dial(options: object): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#docker.modem.dial(options as never, (error: Error | null, answer: unknown) => {
        if (error) reject(error);
        else resolve(answer);
      });
    });
  }

  async #whole(answer: Readable): Promise<string> {
    const parts: Buffer[] = [];
    answer.on("data", (part: Buffer) => parts.push(part));
    try {
      // `end` comes only if it is complete.
      await once(answer, "end");
    } catch (error) {
      throw this.#unavailable("ended, or was restarted", error);
    }
    return Buffer.concat(parts).toString();
  }

  /** Reads an answer of lines of JSON to its end; one of them may say that it failed. */
  async #follow(answer: Readable, progress: (line: string) => void): Promise<void> {
    let pending = "";
    const read = (line: string): void => {
      if (line.trim() === "") return;
      const { error, status, stream } = JSON.parse(line) as Partial<Record<string, unknown>>;
      if (typeof error === "string") failed ??= new DaemonRefusal(0, error);
      const said = typeof stream === "string" ? stream : status;
      if (typeof said === "string" && said.trim() !== "") progress(said.trim());
    };
    let failed: DaemonRefusal | undefined;
    try {
      for await (const part of answer) {
        const lines = (pending + String(part)).split("\n");
        pending = lines.pop() ?? "";
        for (const line of lines) read(line);
      }
    } catch (error) {
      throw this.#unavailable(`broke off: ${messageOf(error)}`, error);
    }
    read(pending);
    if (failed !== undefined) throw failed;
  }

  #asOurs(error: unknown): unknown {
    const { statusCode, json, message } = error as Refused;
    if (statusCode !== undefined) {
      const said = textOf(json) ?? message;
      return new DaemonRefusal(statusCode, said.replaceAll(/\s+/gu, " ").trim());
    }
    return this.#unavailable(reasonOf(error as NodeJS.ErrnoException), error);
  }

  #unavailable(why: string, cause: unknown): Error {
    return sandboxError("OL_SANDBOX_DAEMON_UNAVAILABLE", `The container daemon at ${this.address} ${why}.`, {
      cause,
    });
  }
}

/** dockerode's types leave out that these calls take options, a signal among them. */
type Described = (options: object) => Promise<Fields>;
const untyped = (options: object): undefined => options as unknown as undefined;

const connectOptions = (address: DaemonAddress): Docker.DockerOptions => {
  // A connection that was kept would break in the middle of the first request after the daemon's restart.
  const agent =
    address.tls === undefined
      ? new Agent({ keepAlive: false })
      : new TlsAgent({ keepAlive: false, ...address.tls });
  return { ...daemonConnection(address), agent } as Docker.DockerOptions;
};

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: "is not there: there is no such socket; start the daemon, or name another in docker.host",
  ECONNREFUSED: "is not running: nobody listens there; start it",
  EACCES:
    "may not be used by this user: permission denied on its socket; run the worker as root, or as a member of the socket's group",
  EPERM:
    "may not be used by this user: permission denied on its socket; run the worker as root, or as a member of the socket's group",
  ECONNRESET: "ended in the middle of a request",
  EPIPE: "ended in the middle of a request",
};

const reasonOf = (error: NodeJS.ErrnoException): string =>
  REASONS[error.code ?? ""] ?? `cannot be asked: ${messageOf(error)}`;

const textOf = (json: unknown): string | undefined => {
  const fields = (typeof json === "object" && json !== null ? json : {}) as Fields;
  const text = fields["message"] ?? fields["cause"];
  return typeof text === "string" ? text.trim() : undefined;
};

const tagged = (name: string): string =>
  name.includes("@") || /:[^/]+$/u.test(name) ? name : `${name}:latest`;
