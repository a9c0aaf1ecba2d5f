import { deferred } from "@ol/common";

import type { EngineStats, EngineZygote, SandboxExit, ZygoteImport, ZygoteSpec } from "../engine.ts";
import { sandboxError } from "../errors.ts";
import type { BrokerClient } from "./broker-client.ts";

/** The zygotes of one broker that were made on request, and what it tells of processes that wait to be sandboxes. */
export class SockZygotes {
  readonly #exits = new Map<string, (exit: SandboxExit) => void>();
  #prepared = 0;
  #preparedMb = 0;

  /** See SandboxEngine. A zygote whose maker gave up while it imported is ended again. */
  async create(
    broker: BrokerClient,
    id: string,
    spec: ZygoteSpec,
    signal: AbortSignal | undefined,
  ): Promise<EngineZygote> {
    signal?.throwIfAborted();
    if (this.#exits.has(id)) throw sandboxError("OL_SANDBOX_BAD_OPTIONS", `there is a zygote ${id} already`);
    const { promise: exited, resolve } = deferred<SandboxExit>();
    const settle = (exit: SandboxExit): void => {
      // One of the same name may have been made since.
      if (this.#exits.get(id) === settle) this.#exits.delete(id);
      resolve(exit);
    };
    this.#exits.set(id, settle);
    const kill = async (): Promise<void> => {
      if (this.#exits.get(id) === settle) await killZygote(broker, id);
      await exited;
    };
    const onAbort = (): void => void killZygote(broker, id).catch(() => undefined);
    signal?.addEventListener("abort", onAbort, { once: true });
    let imported: ZygoteImport;
    try {
      imported = (await broker.request("zygote", { zygote: id, ...spec })) as unknown as ZygoteImport;
    } catch (error) {
      this.#exits.delete(id);
      throw signal?.aborted ? signal.reason : error;
    } finally {
      signal?.removeEventListener("abort", onAbort);
    }
    if (signal?.aborted) {
      await kill();
      throw signal.reason;
    }
    return { id, import: imported, exited, kill };
  }

  exited(id: string, exit: SandboxExit): void {
    this.#exits.get(id)?.(exit);
  }

  prepared(count: number, memoryMb: number): void {
    this.#prepared = count;
    this.#preparedMb = memoryMb;
  }

  /** The broker is gone, and all zygotes with it. */
  lost(reason: string): void {
    for (const settle of this.#exits.values()) settle({ reason: "lost", message: reason });
    this.prepared(0, 0);
  }

  stats(): Pick<EngineStats, "prepared" | "preparedMb" | "zygotes"> {
    return { prepared: this.#prepared, preparedMb: this.#preparedMb, zygotes: this.#exits.size };
  }
}

const killZygote = async (broker: BrokerClient, id: string): Promise<void> => {
  try {
    await broker.request("kill-zygote", { zygote: id });
  } catch (error) {
    // Without the broker there are no zygotes: what was asked for is so.
    if ((error as { code?: unknown }).code !== "OL_SANDBOX_BROKER_LOST") throw error;
  }
};
