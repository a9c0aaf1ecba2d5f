import type { Installer } from "./installer.ts";
import type { InstallerSession } from "./installer-session.ts";

/**
 * The session of one piece of work, opened by whoever needs it first: what was downloaded to resolve need not be downloaded
 * again to install.
 */
export class OpenedSession implements AsyncDisposable {
  readonly #installer: Installer;
  #session: InstallerSession | undefined;

  constructor(installer: Installer) {
    this.#installer = installer;
  }

  async get(): Promise<InstallerSession> {
    this.#session ??= await this.#installer.open();
    return this.#session;
  }

  /** Ends it; the next `get` opens another one. To be done before waiting for others, who may need its place. */
  async close(): Promise<void> {
    const session = this.#session;
    this.#session = undefined;
    await session?.[Symbol.asyncDispose]();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
