import { messageOf, silentLogger } from "@ol/common";

import { BASE_ENVIRONMENT } from "../environment.ts";
import type { Enforcement, EngineSandbox, EngineStats, SandboxEngine, SandboxSpec } from "../engine.ts";
import { sandboxError } from "../errors.ts";
import { Container } from "./container.ts";
import type { ContainerKit } from "./container-kit.ts";
import { networkMode } from "./container-body.ts";
import { enforcementOf } from "./enforcement.ts";
import { type Ground, takeGround } from "./ground.ts";
import type { DockerEngineOptions } from "./options.ts";
import { sharedOrder } from "./shared-container.ts";
import { SharedContainers } from "./shared-containers.ts";
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
  /** By the porter's name of them. */
  readonly #containers: Map<string, Container>;
  /** By id. */
  readonly #sandboxes = new Map<string, Pick<EngineSandbox, "kill" | "exited">>();
  readonly #shared: SharedContainers | undefined;
  readonly #ground: Ground;
  #made = 0;
  #created = 0;
  #destroyed = 0;
  #closed: Promise<void> | undefined;

  /** Takes its ground; fails as `takeGround` does. */
  static async create(options: DockerEngineOptions): Promise<DockerEngine> {
    const logger = options.logger ?? silentLogger;
    return new DockerEngine(await takeGround(options, logger), options);
  }

  private constructor(ground: Ground, { prepared = 0, share = "off" }: DockerEngineOptions) {
    this.#ground = ground;
    this.#kit = ground.kit;
    this.#containers = ground.containers;
    this.lost = ground.lost;
    this.python = ground.report.python;
    this.swept = ground.swept;
    this.image = this.#kit.frame.image;
    this.#stock = new Stock(prepared, (spec) => this.#startInAdvance(spec), this.#kit.logger);
    if (share === "lambda") this.#shared = new SharedContainers(this.#kit, (spec) => this.#startShared(spec));
    this.enforcement = enforcementOf(this.#kit.frame.info, ground.report, ground.notes, share);
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
    // What packages are installed in has a scratch directory that is kept.
    if (this.#shared !== undefined && spec.scratchOnDisk !== true)
      return this.#createShared(this.#shared, id, spec, signal);
    return this.#createAlone(id, spec, signal);
  }

  async #createShared(
    shared: SharedContainers,
    id: string,
    spec: SandboxSpec,
    signal: AbortSignal | undefined,
  ): Promise<EngineSandbox> {
    try {
      const leaf = await shared.create(id, spec, environmentOf(spec), signal);
      this.#note(id, leaf);
      // The engine may have been closed meanwhile, and the caller gone.
      if (this.#closed === undefined && signal?.aborted !== true) return leaf;
      await leaf.kill();
      signal?.throwIfAborted();
    } catch (error) {
      if (this.#closed === undefined || signal?.aborted === true) throw error;
    }
    throw sandboxError("OL_SANDBOX_CLOSED", "the engine is closed");
  }

  async #createAlone(id: string, spec: SandboxSpec, signal: AbortSignal | undefined): Promise<EngineSandbox> {
    // Where others share, those that wait are for them.
    const waiting = this.#shared === undefined ? await this.#fromStock(id, spec) : undefined;
    const container = waiting ?? (await Container.start(this.#kit, id, spec, signal));
    this.#note(id, container);
    this.#containers.set(id, container);
    void this.#forgetContainer(container);
    try {
      // The engine may have been closed meanwhile, and knew nothing of it.
      if (this.#closed !== undefined) throw sandboxError("OL_SANDBOX_CLOSED", "the engine is closed");
      signal?.throwIfAborted();
      container.assign(spec, environmentOf(spec));
    } catch (error) {
      await container.kill();
      throw error;
    }
    // What packages are installed in is like no lambda's sandbox.
    if (this.#shared === undefined && spec.scratchOnDisk !== true) this.#stock.expect(spec);
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
      sandboxes: this.#sandboxes.size,
      created: this.#created,
      destroyed: this.#destroyed,
      prepared: this.#stock.count + (this.#shared?.idle.count ?? 0),
      preparedMb: this.#stock.memoryMb + (this.#shared?.idle.memoryMb ?? 0),
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

  /** For sandboxes like this one, that will be forked in it. */
  async #startShared(spec: SandboxSpec): Promise<Container> {
    const room = this.#nextRoom();
    const { name, network, code, limits } = spec;
    const order = { name, network, code, ...sharedOrder(limits) };
    const container = (await this.#fromStock(room, spec)) ?? (await Container.start(this.#kit, room, order));
    this.#containers.set(container.sandbox, container);
    void this.#forgetContainer(container);
    this.#stock.expect(spec);
    return container;
  }

  #note(id: string, sandbox: Pick<EngineSandbox, "kill" | "exited">): void {
    this.#created += 1;
    this.#sandboxes.set(id, sandbox);
    void this.#forgetAtEnd(id, sandbox.exited);
  }

  async #forgetAtEnd(id: string, exited: Promise<unknown>): Promise<void> {
    await exited;
    this.#sandboxes.delete(id);
    this.#destroyed += 1;
  }

  async #forgetContainer(container: Container): Promise<void> {
    const { sandbox } = container;
    await container.exited;
    this.#containers.delete(sandbox);
  }

  #startInAdvance({ network, limits }: Pick<SandboxSpec, "network" | "limits">): Promise<Container> {
    const order = this.#shared === undefined ? { limits } : sharedOrder(limits);
    return Container.start(this.#kit, this.#nextRoom(), { name: "", network, ...order });
  }

  /** No sandbox has such a name. */
  #nextRoom(): string {
    this.#made += 1;
    return `.${this.#made}`;
  }

  async #end(): Promise<void> {
    await this.#stock.close();
    await this.#shared?.close();
    const killed = await Promise.allSettled([...this.#sandboxes.values()].map((each) => each.kill()));
    for (const outcome of killed)
      if (outcome.status === "rejected")
        this.#kit.logger.warn("a container could not be removed; the next start of this worker does", {
          error: messageOf(outcome.reason),
        });
    await this.#ground.close();
  }
}

const environmentOf = (spec: SandboxSpec): Readonly<Record<string, string>> => ({
  ...BASE_ENVIRONMENT,
  ...spec.environment,
});
