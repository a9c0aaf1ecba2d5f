import { type Logger, messageOf } from "@ol/common";

import type { SandboxSpec } from "../engine.ts";
import type { Container } from "./container.ts";

/** What a container that waits is fit for: a sandbox's code and name are all that it can still be given. */
export type StockKey = string;

/** What it holds is measured once, when it waits. */
interface Waiting {
  readonly key: StockKey;
  readonly container: Container;
  memoryMb: number;
}

const MIB = 1_048_576;

/** Which sandboxes could have been made of the same container. */
export const stockKey = ({ network, limits }: Pick<SandboxSpec, "network" | "limits">): StockKey =>
  JSON.stringify([network, ...Object.values(limits)]);

/** Containers that were started in advance, for sandboxes like those that were wanted last. */
export class Stock {
  readonly #most: number;
  readonly #start: (spec: Pick<SandboxSpec, "network" | "limits">) => Promise<Container>;
  readonly #logger: Logger;
  #waiting: Waiting[] = [];
  /** The one that is being started, whatever comes of it. */
  #starting: Promise<void> | undefined;
  #closed = false;

  /** `most`: how many wait at most, of all kinds. */
  constructor(
    most: number,
    start: (spec: Pick<SandboxSpec, "network" | "limits">) => Promise<Container>,
    logger: Logger,
  ) {
    this.#most = most;
    this.#start = start;
    this.#logger = logger;
  }

  get count(): number {
    return this.#waiting.length;
  }

  get memoryMb(): number {
    return this.#waiting.reduce((sum, { memoryMb }) => sum + memoryMb, 0);
  }

  /** One that waits for such a sandbox. It is the caller's from now on. */
  take(spec: Pick<SandboxSpec, "network" | "limits">): Container | undefined {
    const key = stockKey(spec);
    const at = this.#waiting.findIndex((one) => one.key === key && !one.container.over);
    if (at < 0) return undefined;
    const [found] = this.#waiting.splice(at, 1);
    return found?.container;
  }

  /** There will be more sandboxes like this one. Nobody waits for what this begins. */
  expect(spec: Pick<SandboxSpec, "network" | "limits">): void {
    if (this.#closed || this.#most === 0 || this.#starting !== undefined) return;
    const key = stockKey(spec);
    if (this.#waiting.filter((one) => one.key === key).length >= this.#most) return;
    this.#starting = this.#addOne(key, spec);
  }

  /** Ends those that wait; settles when none is left. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#starting;
    await Promise.all(this.#waiting.splice(0).map((one) => this.#drop(one)));
  }

  async #addOne(key: StockKey, spec: Pick<SandboxSpec, "network" | "limits">): Promise<void> {
    const added = await this.#add(key, spec);
    this.#starting = undefined;
    if (added) this.expect(spec);
  }

  async #add(key: StockKey, spec: Pick<SandboxSpec, "network" | "limits">): Promise<boolean> {
    try {
      // Of the other kinds those go first that waited for the longest time.
      const other = this.#waiting.findIndex((one) => one.key !== key);
      if (this.#waiting.length >= this.#most && other >= 0)
        await Promise.all(this.#waiting.splice(other, 1).map((one) => this.#drop(one)));
      const one: Waiting = { key, container: await this.#start(spec), memoryMb: 0 };
      this.#waiting.push(one);
      void this.#forgetAtEnd(one);
      one.memoryMb = Math.round(((await one.container.memoryBytes()) / MIB) * 10) / 10;
      return true;
    } catch (error) {
      // The next sandbox that is wanted begins anew.
      this.#logger.warn("no container could be started in advance", { error: messageOf(error) });
      return false;
    }
  }

  async #forgetAtEnd(one: Waiting): Promise<void> {
    await one.container.exited;
    this.#waiting = this.#waiting.filter((each) => each !== one);
  }

  async #drop({ container }: Waiting): Promise<void> {
    try {
      container.connection.destroy();
      await container.kill();
    } catch (error) {
      this.#logger.warn("a container that waited could not be removed; it will be tried again", {
        error: messageOf(error),
      });
    }
  }
}
