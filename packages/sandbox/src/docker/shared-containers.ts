import { messageOf } from "@ol/common";

import type { SandboxSpec } from "../engine.ts";
import type { Container } from "./container.ts";
import type { ContainerKit } from "./container-kit.ts";
import { SharedContainer } from "./shared-container.ts";
import type { SharedLeaf } from "./shared-leaf.ts";

/** How long a container stays when its last sandbox is gone: a busy lambda's next one is near. */
const LINGER_MS = 5_000;
const MIB = 1_048_576;

/** Sandboxes with the same one share containers: what one of them may do or see is what another may. */
const trustKey = ({ name, code, network, packages, environment, limits }: SandboxSpec): string =>
  JSON.stringify([
    name,
    code,
    network,
    packages ?? [],
    Object.entries(environment).sort(([one], [other]) => (one < other ? -1 : 1)),
    Object.entries(limits).sort(([one], [other]) => (one < other ? -1 : 1)),
  ]);

/** One in which nobody is. */
interface Lingering {
  readonly timer: NodeJS.Timeout;
  /** What it holds, measured once. */
  memoryMb: number;
}

/** All containers of an engine that sandboxes share. */
export class SharedContainers {
  readonly #kit: ContainerKit;
  readonly #start: (spec: SandboxSpec) => Promise<Container>;
  readonly #byKey = new Map<string, SharedContainer[]>();
  readonly #lingering = new Map<SharedContainer, Lingering>();
  #closed = false;

  /** `start`: a container for sandboxes like this one. */
  constructor(kit: ContainerKit, start: (spec: SandboxSpec) => Promise<Container>) {
    this.#kit = kit;
    this.#start = start;
  }

  /** Those in which nobody is now. */
  get idle(): { readonly count: number; readonly memoryMb: number } {
    const all = [...this.#lingering.values()];
    return { count: all.length, memoryMb: all.reduce((sum, { memoryMb }) => sum + memoryMb, 0) };
  }

  /** A sandbox in a container of its kind, which is started if there is none with room. Fails as SharedContainer.fork does. */
  async create(
    id: string,
    spec: SandboxSpec,
    environment: Readonly<Record<string, string>>,
    signal: AbortSignal | undefined,
  ): Promise<SharedLeaf> {
    for (;;) {
      const known = this.#withRoom(spec);
      const shared = known ?? this.#make(spec);
      try {
        return await shared.fork(id, spec, environment, signal);
      } catch (error) {
        // One that was there may have been lost, or grow no more, and no code of this sandbox has run in it.
        if (known === undefined || !shared.spent || signal?.aborted === true || this.#closed) throw error;
      }
    }
  }

  /** Ends all of them. */
  async close(): Promise<void> {
    this.#closed = true;
    const all = [...this.#byKey.values()].flat();
    for (const shared of all) this.#keep(shared);
    for (const outcome of await Promise.allSettled(all.map((each) => each.kill())))
      if (outcome.status === "rejected") this.#complain(outcome.reason);
  }

  #withRoom(spec: SandboxSpec): SharedContainer | undefined {
    const found = this.#byKey.get(trustKey(spec))?.find((each) => each.hasRoom);
    if (found !== undefined) this.#keep(found);
    return found;
  }

  #make(spec: SandboxSpec): SharedContainer {
    const key = trustKey(spec);
    const made = new SharedContainer(
      this.#kit,
      spec,
      () => this.#start(spec),
      () => this.#linger(made),
    );
    this.#byKey.set(key, [...(this.#byKey.get(key) ?? []), made]);
    void made.ended.then(() => this.#forget(key, made));
    return made;
  }

  #forget(key: string, gone: SharedContainer): void {
    this.#keep(gone);
    const left = (this.#byKey.get(key) ?? []).filter((each) => each !== gone);
    if (left.length === 0) this.#byKey.delete(key);
    else this.#byKey.set(key, left);
  }

  #linger(shared: SharedContainer): void {
    if (this.#closed) return;
    this.#keep(shared);
    const end = (): void => {
      this.#lingering.delete(shared);
      shared.kill().catch((error: unknown) => this.#complain(error));
    };
    const lingering: Lingering = { timer: setTimeout(end, LINGER_MS), memoryMb: 0 };
    this.#lingering.set(shared, lingering);
    void this.#measure(shared, lingering);
  }

  async #measure(shared: SharedContainer, lingering: Lingering): Promise<void> {
    try {
      lingering.memoryMb = Math.round(((await shared.memoryBytes()) / MIB) * 10) / 10;
    } catch (error) {
      this.#kit.logger.debug("a container could not be measured", { error: messageOf(error) });
    }
  }

  /** It is wanted again, or ends otherwise. */
  #keep(shared: SharedContainer): void {
    clearTimeout(this.#lingering.get(shared)?.timer);
    this.#lingering.delete(shared);
  }

  #complain(error: unknown): void {
    this.#kit.logger.warn("a shared container could not be removed; it will be tried again", {
      error: messageOf(error),
    });
  }
}
