import type { Logger, OlError } from "@ol/common";

import { CHANNELS } from "./channels.ts";
import { Emitter } from "./emitter.ts";
import type { EngineZygote, SandboxExit, SandboxSpec, ZygoteSpec } from "./engine.ts";
import type { PoolEvents } from "./pool-types.ts";
import type { Sandbox } from "./sandbox.ts";

/** Tells what happens in a pool: the listeners of its events, and whoever listens to this package's channels. */
export class PoolNews {
  readonly #events: Emitter<PoolEvents>;

  constructor(logger: Logger) {
    this.#events = new Emitter(logger);
  }

  on<Name extends keyof PoolEvents>(name: Name, listener: (...values: PoolEvents[Name]) => void): () => void {
    return this.#events.on(name, listener);
  }

  created(sandbox: Sandbox): void {
    const channel = CHANNELS["ol:sandbox:create"];
    if (channel.hasSubscribers) {
      const { network, limits, packages = [], zygote } = sandbox.meta;
      const { waitedMs, makeMs } = sandbox.making;
      channel.publish({
        ...nameOf(sandbox),
        network,
        memoryMb: limits.memoryMb,
        packages: packages.length,
        zygote,
        waitedMs,
        makeMs,
      });
    }
    this.#events.emit("create", sandbox);
  }

  createFailed(spec: SandboxSpec, error: OlError): void {
    const channel = CHANNELS["ol:sandbox:fail"];
    if (channel.hasSubscribers)
      channel.publish({ name: spec.name, code: error.code, message: error.message });
    this.#events.emit("createFailed", spec, error);
  }

  ready(sandbox: Sandbox): void {
    const channel = CHANNELS["ol:sandbox:ready"];
    if (channel.hasSubscribers)
      channel.publish({ ...nameOf(sandbox), loadMs: (sandbox.loadedMs ?? 0) - sandbox.making.madeMs });
    this.#events.emit("ready", sandbox);
  }

  guest(sandbox: Sandbox, name: string, body: Buffer): void {
    this.#events.emit("guest", sandbox, name, body);
  }

  paused(sandbox: Sandbox): void {
    const channel = CHANNELS["ol:sandbox:pause"];
    if (channel.hasSubscribers) channel.publish(nameOf(sandbox));
    this.#events.emit("paused", sandbox);
  }

  resumed(sandbox: Sandbox): void {
    const channel = CHANNELS["ol:sandbox:resume"];
    if (channel.hasSubscribers) channel.publish(nameOf(sandbox));
    this.#events.emit("resumed", sandbox);
  }

  evicting(sandbox: Sandbox): void {
    const channel = CHANNELS["ol:eviction:evict"];
    if (channel.hasSubscribers) channel.publish({ id: sandbox.id, kind: "sandbox" });
    this.#events.emit("evict", sandbox);
  }

  destroying(sandbox: Sandbox): void {
    this.#events.emit("destroying", sandbox);
  }

  destroyed(sandbox: Sandbox): void {
    const channel = CHANNELS["ol:sandbox:destroy"];
    if (channel.hasSubscribers)
      channel.publish({
        ...nameOf(sandbox),
        uses: sandbox.uses,
        lifeMs: performance.now() - sandbox.making.madeMs,
        code: sandbox.ended?.code ?? "OL_SANDBOX_DESTROYED",
      });
    this.#events.emit("destroy", sandbox);
  }

  zygoteMade(zygote: EngineZygote, spec: ZygoteSpec): void {
    const channel = CHANNELS["ol:zygote:create"];
    if (channel.hasSubscribers) {
      const { parent, network, packages } = spec;
      const { ms: importMs, memoryMb } = zygote.import;
      channel.publish({ id: zygote.id, parent, network, packages, importMs, memoryMb });
    }
    this.#events.emit("zygote", zygote, spec);
  }

  zygoteFailed(id: string, spec: ZygoteSpec, error: OlError): void {
    const channel = CHANNELS["ol:zygote:fail"];
    if (channel.hasSubscribers) channel.publish({ id, code: error.code, message: error.message });
    this.#events.emit("zygoteFailed", id, spec, error);
  }

  zygoteEvicting(id: string): void {
    const channel = CHANNELS["ol:eviction:evict"];
    if (channel.hasSubscribers) channel.publish({ id, kind: "zygote" });
    this.#events.emit("evictZygote", id);
  }

  zygoteGone(id: string, exit: SandboxExit): void {
    const channel = CHANNELS["ol:zygote:destroy"];
    if (channel.hasSubscribers) channel.publish({ id, reason: exit.reason });
    this.#events.emit("zygoteGone", id, exit);
  }

  lost(): void {
    this.#events.emit("lost");
  }
}

const nameOf = ({ id, meta }: Sandbox): { readonly id: string; readonly name: string } => ({
  id,
  name: meta.name,
});
