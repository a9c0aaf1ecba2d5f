import { type Logger, messageOf } from "@ol/common";

import type { Installer } from "./installer.ts";

/**
 * Compiles installed packages one after the other, each in a sandbox of its own: compiling takes longer than installing, so
 * that nobody waits for it, and what one package can do to the compiler is done to that package only.
 */
export class Compiler {
  readonly #installer: Installer;
  readonly #logger: Logger;
  readonly #waiting = new Set<string>();
  /** Tried in vain: what works uncompiled is not tried for ever. */
  readonly #given = new Set<string>();
  #working: Promise<void> | undefined;
  #closed = false;
  #compiled = 0;

  constructor(installer: Installer, logger: Logger) {
    this.#installer = installer;
    this.#logger = logger;
  }

  get compiled(): number {
    return this.#compiled;
  }

  /** Compiles these when there is time. */
  add(directories: readonly string[]): void {
    for (const directory of directories) if (!this.#given.has(directory)) this.#waiting.add(directory);
    if (this.#waiting.size > 0) this.#working ??= this.#work();
  }

  /** Settles when these, and whatever else waits, are compiled or cannot be. */
  async compile(directories: readonly string[]): Promise<void> {
    this.add(directories);
    await this.#working;
  }

  /** Begins no more. */
  close(): void {
    this.#closed = true;
    this.#waiting.clear();
  }

  async #work(): Promise<void> {
    for (const directory of this.#waiting) {
      await this.#compileOne(directory);
      this.#waiting.delete(directory);
    }
    this.#working = undefined;
  }

  async #compileOne(directory: string): Promise<void> {
    try {
      await using session = await this.#installer.open();
      await session.compile(directory);
      const [outcome] = await session.keep([{ target: directory }]);
      if (outcome?.kind !== "kept") throw new Error(outcome?.kind === "exists" ? "exists" : outcome?.reason);
      this.#compiled += 1;
    } catch (error) {
      if (this.#closed) return;
      this.#given.add(directory);
      this.#logger.warn("a package could not be compiled; it works, only slower", {
        package: directory,
        error: messageOf(error),
      });
    }
  }
}
