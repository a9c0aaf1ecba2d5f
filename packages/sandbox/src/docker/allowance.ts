import type { SandboxLimits } from "@ol/common";

/** What a zygote with the standard library holds, which is not its lambda's doing. */
const ZYGOTE_MB = 24;
const ZYGOTE_PROCS = 1;

/** What a container may use in which so many sandboxes are: as much as they could in containers of their own. */
export const limitsOfAll = (limits: SandboxLimits, count: number): SandboxLimits => ({
  ...limits,
  memoryMb: limits.memoryMb * count + ZYGOTE_MB,
  procs: limits.procs * count + ZYGOTE_PROCS,
  cpuPercent: limits.cpuPercent * count,
  scratchMb: limits.scratchMb * count,
});

/** Has a container's limits follow the number of its sandboxes, one change after the other. */
export class Allowance {
  readonly #wanted: () => number;
  readonly #change: (count: number) => Promise<void>;
  #granted = 1;
  #changing: Promise<void> | undefined;

  /** `wanted`: for how many there must be room now. */
  constructor(wanted: () => number, change: (count: number) => Promise<void>) {
    this.#wanted = wanted;
    this.#change = change;
  }

  /** For how many there is room. */
  get granted(): number {
    return this.#granted;
  }

  /** Settles when there is room for so many, or not so many are wanted any more. Fails as `change` does. */
  async suffice(count: number): Promise<void> {
    while (this.#granted < Math.min(count, this.#wanted())) await this.#follow();
  }

  /** Some are not wanted any more. Fails as `change` does, and then there is still room for more than those that are left. */
  async relent(): Promise<void> {
    while (this.#granted > this.#wanted()) await this.#follow();
  }

  /** Somebody else's change, whatever comes of it, or one's own. */
  async #follow(): Promise<void> {
    if (this.#changing !== undefined) {
      // That it could not be made smaller is nothing to who wants it larger.
      await this.#changing.catch(() => undefined);
      return;
    }
    this.#changing = this.#changeOnce().finally(() => (this.#changing = undefined));
    await this.#changing;
  }

  async #changeOnce(): Promise<void> {
    const count = this.#wanted();
    if (count === this.#granted) return;
    await this.#change(count);
    this.#granted = count;
  }
}
