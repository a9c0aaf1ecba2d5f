import { messageOf, silentLogger } from "@ol/common";

import { BASE_ENVIRONMENT } from "../environment.ts";
import type { Enforcement, EngineSandbox, EngineStats, SandboxEngine, SandboxSpec } from "../engine.ts";
import { sandboxError } from "../errors.ts";
import { Container, type ContainerKit } from "./container.ts";
import { networkMode } from "./container-body.ts";
import { enforcementOf } from "./enforcement.ts";
import { type Ground, takeGround } from "./ground.ts";
import type { DockerEngineOptions } from "./options.ts";
import { Stock } from "./stock.ts";

/**
 * Sandboxes that are containers of a daemon on this machine: Docker Engine, or Podman's socket that speaks the same. What the daemon
 * does not do, directories and their limits, the porter does (python/ol_host/porter.py). docs/docker.md says how they differ
 * from those of the engine `sock`.
 */
export class DockerEngine implements SandboxEngine {
  readonly name = "docker";
  readonly enforcement: Enforcement;
  /** Settles when the porter ends. The daemon may go and come back: sandboxes are lost then, the engine is not. */
  readonly lost: Promise<string>;
  /** The version of the Python that sandboxes run on: the image's. */
  readonly python: string;
  /** Containers and directories of an earlier, dead engine that were removed at the start. */
  readonly swept: number;
  /** The image that containers are made from. */
  readonly image: string;
  readonly #kit: ContainerKit;
  readonly #stock: Stock;
  readonly #containers: Map<string, Container>;
  readonly #ground: Ground;
  #made = 0;
  #created = 0;
  #destroyed = 0;
  #closed: Promise<void> | undefined;

  /** Takes its ground; fails as `takeGround` does. */
  static async create(options: DockerEngineOptions): Promise<DockerEngine> {
    const logger = options.logger ?? silentLogger;
    return new DockerEngine(await takeGround(options, logger), options.prepared ?? 0);
  }

  private constructor(ground: Ground, prepared: number) {
    this.#ground = ground;
    this.#kit = ground.kit;
    this.#containers = ground.containers;
    this.lost = ground.lost;
    this.python = ground.report.python;
    this.swept = ground.swept;
    this.image = this.#kit.frame.image;
    this.#stock = new Stock(prepared, (spec) => this.#startInAdvance(spec), this.#kit.logger);
    this.enforcement = enforcementOf(this.#kit.frame.info, ground.report, ground.notes);
    for (const note of this.enforcement.notes) this.#kit.logger.warn(note);
  }

  /** Where the daemon is, and what it is. */
  get daemon(): {
    readonly address: string;
    readonly socketPath: string | undefined;
    readonly product: string;
  } {
    const { address, socketPath } = this.#kit.daemon;
    return { address, socketPath, product: this.#kit.frame.info.product };
  }

  async create(id: string, spec: SandboxSpec, signal?: AbortSignal): Promise<EngineSandbox> {
    if (this.#closed !== undefined) throw sandboxError("OL_SANDBOX_CLOSED", "the engine is closed");
    networkMode(spec.network, this.#kit.frame.network);
    if (spec.zygote !== undefined)
      throw sandboxError("OL_SANDBOX_NO_ZYGOTE", "The engine docker has no zygotes to fork from.");
    signal?.throwIfAborted();
    const container =
      (await this.#fromStock(id, spec)) ?? (await Container.start(this.#kit, id, spec, signal));
    this.#created += 1;
    this.#containers.set(id, container);
    void this.#forgetAtEnd(id, container);
    try {
      // The engine may have been closed meanwhile, and knew nothing of it.
      if (this.#closed !== undefined) throw sandboxError("OL_SANDBOX_CLOSED", "the engine is closed");
      signal?.throwIfAborted();
      container.assign(spec, { ...BASE_ENVIRONMENT, ...spec.environment });
    } catch (error) {
      await container.kill();
      throw error;
    }
    // What packages are installed in is like no lambda's sandbox.
    if (spec.scratchOnDisk !== true) this.#stock.expect(spec);
    return {
      id,
      connection: container.connection,
      exited: container.exited,
      kill: () => container.kill(),
      pause: () => container.pause(),
      resume: () => container.resume(),
      memoryBytes: () => container.memoryBytes(),
      keep: (orders) => container.keep(orders),
    };
  }

  stats(): EngineStats {
    return {
      sandboxes: this.#containers.size,
      created: this.#created,
      destroyed: this.#destroyed,
      prepared: this.#stock.count,
      preparedMb: this.#stock.memoryMb,
      zygotes: 0,
    };
  }

  close(): Promise<void> {
    this.#closed ??= this.#end();
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** One that waited, if there is one and it is still of use. */
  async #fromStock(id: string, spec: SandboxSpec): Promise<Container | undefined> {
    const container = this.#stock.take(spec);
    if (container === undefined) return undefined;
    try {
      await container.furnish(id, spec);
      if (!container.over) return container;
    } catch (error) {
      // Code on another file system, for example; one that is made for it gets it in another way, or says why not.
      this.#kit.logger.debug("a container that waited cannot be used", { error: messageOf(error) });
    }
    container.connection.destroy();
    await container.kill();
    return undefined;
  }

  async #forgetAtEnd(id: string, container: Container): Promise<void> {
    await container.exited;
    this.#containers.delete(id);
    this.#destroyed += 1;
  }

  #startInAdvance(spec: Pick<SandboxSpec, "network" | "limits">): Promise<Container> {
    this.#made += 1;
    return Container.start(this.#kit, `.${this.#made}`, {
      name: "",
      network: spec.network,
      limits: spec.limits,
    });
  }

  async #end(): Promise<void> {
    await this.#stock.close();
    const killed = await Promise.allSettled([...this.#containers.values()].map((each) => each.kill()));
    for (const outcome of killed)
      if (outcome.status === "rejected")
        this.#kit.logger.warn("a container could not be removed; the next start of this worker does", {
          error: messageOf(outcome.reason),
        });
    await this.#ground.close();
  }
}
