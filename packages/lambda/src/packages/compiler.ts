import { type Logger, messageOf } from "@ol/common";

import type { Installer } from "./installer.ts";

/**
 * Compiles installed packages one after the other, each in a sandbox of its own: compiling takes longer than installing, so
 * that nobody waits for it, and what one package can do to the compiler is done to that package only.
 */
export class Compiler {
  /** A package that has this was compiled. */
  static readonly MARK = ".compiled";
  readonly #installer: Installer;
  readonly #logger: Logger;
  readonly #waiting = new Set<string>();
  #working: Promise<void> | undefined;
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
    for (const directory of directories) this.#waiting.add(directory);
    if (this.#waiting.size > 0) this.#working ??= this.#work();
  }

  /** Settles when these, and whatever else waits, are compiled or cannot be. */
  async compile(directories: readonly string[]): Promise<void> {
    this.add(directories);
    await this.#working;
  }

  async #work(): Promise<void> {
    for (const directory of this.#waiting) {
      try {
        await using session = await this.#installer.open();
        await session.compile(directory);
        await session.keep([{ target: directory, merge: true }]);
        this.#compiled += 1;
      } catch (error) {
        // It works uncompiled, only slower; the next worker that uses it tries again.
        this.#logger.warn("a package could not be compiled", { package: directory, error: messageOf(error) });
      }
      this.#waiting.delete(directory);
    }
    this.#working = undefined;
  }
}
