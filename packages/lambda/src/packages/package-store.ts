import { packageDirectory, parseRequirements, type Pin } from "@ol/bundle";
import { type Logger, messageOf } from "@ol/common";

import { Compiler } from "./compiler.ts";
import { Failures } from "./failures.ts";
import { installedSet, lockedPackages } from "./installed-set.ts";
import type { Installer } from "./installer.ts";
import type { LockStore } from "./lock-store.ts";
import { OpenedSession } from "./opened-session.ts";
import { PackageInstalls } from "./package-installs.ts";
import { NOTE_USE_MS, PackageShelf } from "./package-shelf.ts";
import type {
  InstalledSet,
  LockedPackage,
  PackageRequest,
  PackageSource,
  PackageStats,
} from "./package-source.ts";
import { Resolver } from "./resolver.ts";

/** What a store is made from. */
export interface PackageStoreOptions {
  /** The sandbox engine's `packagesDir`. */
  readonly packagesDir: string;
  /** The Python that sandboxes run, such as `3.11`. */
  readonly python: string;
  /** As `uname -m` says it. */
  readonly machine: string;
  /** What resolves, installs and compiles. */
  readonly installer: Installer;
  /** Where it is written down what requirements were resolved to. */
  readonly locks: LockStore;
  /** Longest wait for somebody else who installs the same, in ms. At the limit: it is installed here too. */
  readonly waitMs: number;
  /** Hears of what is installed, and what cannot be. */
  readonly logger: Logger;
}

/**
 * The packages of one Python, `<packagesDir>/<python>-<machine>/<name>-<version>-<hash>`: installed once, whoever asks and however
 * many, and never changed afterwards. What is there is complete: it was made elsewhere and renamed.
 */
export class PackageStore implements PackageSource, AsyncDisposable {
  readonly #options: PackageStoreOptions;
  readonly #directory: string;
  readonly #shelf: PackageShelf;
  readonly #resolver: Resolver;
  readonly #installs: PackageInstalls;
  readonly #compiler: Compiler;
  readonly #providing = new Map<string, Promise<InstalledSet>>();
  readonly #failures = new Failures();
  /** What was provided: all of it may still be running. */
  readonly #used = new Set<string>();
  readonly #noting: NodeJS.Timeout;
  #failed = 0;

  constructor(options: PackageStoreOptions) {
    const { installer, logger } = options;
    this.#options = options;
    this.#directory = `${options.python}-${options.machine}`;
    this.#shelf = new PackageShelf(options);
    this.#resolver = new Resolver(options);
    this.#compiler = new Compiler(installer, logger);
    this.#installs = new PackageInstalls({
      ...options,
      shelf: this.#shelf,
      made: (directories) => this.#compiler.add(directories),
    });
    this.#noting = setInterval(() => void this.#noteUses(), NOTE_USE_MS / 2).unref();
  }

  provide(request: PackageRequest): Promise<InstalledSet> {
    const key = `${request.lambda}@${request.digest}`;
    const failure = this.#failures.of(key);
    if (failure !== undefined) return Promise.reject(failure.error);
    let providing = this.#providing.get(key);
    if (providing === undefined) {
      providing = this.#provide(request);
      this.#providing.set(key, providing);
      providing
        .then(
          () => this.#failures.forget(key),
          (error: unknown) => this.#noteFailure(key, error),
        )
        .finally(() => this.#providing.delete(key));
    }
    return providing;
  }

  /**
   * Installs what requirement lines come to, for no lambda. Settles when it is compiled too. Fails as `provide`, and with
   * OL_BUNDLE_BAD_REQUIREMENTS.
   */
  async install(lines: readonly string[]): Promise<InstalledSet> {
    const requirements = lines.flatMap((line) => parseRequirements(line, JSON.stringify(line)));
    await using opened = new OpenedSession(this.#options.installer);
    const packages = this.#locked(await this.#resolver.resolve(requirements, opened));
    await this.#have(packages, opened);
    await this.#compiler.compile([]);
    return installedSet(packages, this.#options.packagesDir);
  }

  stats(): PackageStats {
    return {
      providing: this.#providing.size,
      resolved: this.#resolver.resolved,
      installed: this.#installs.installed,
      installedBytes: this.#installs.installedBytes,
      compiled: this.#compiler.compiled,
      failed: this.#failed,
    };
  }

  /** Begins nothing more by itself. */
  [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#noting);
    this.#compiler.close();
    return Promise.resolve();
  }

  async #provide(request: PackageRequest): Promise<InstalledSet> {
    await using opened = new OpenedSession(this.#options.installer);
    const { pins } = await this.#resolver.lockOf(request, opened);
    const packages = this.#locked(pins);
    await this.#have(packages, opened);
    return installedSet(packages, this.#options.packagesDir);
  }

  #locked(pins: readonly Pin[]): readonly LockedPackage[] {
    return lockedPackages(pins, (pin) => `${this.#directory}/${packageDirectory(pin)}`);
  }

  /** Settles when all are there, and stay. */
  async #have(packages: readonly LockedPackage[], opened: OpenedSession): Promise<void> {
    await this.#installs.ensure(packages, opened);
    // What `gc` removed in this very moment is installed again.
    if (!(await this.#noteUse(packages))) await this.#installs.ensure(packages, opened);
    for (const { directory } of packages) this.#used.add(directory);
    const compiled = await Promise.all(packages.map(({ directory }) => this.#shelf.isCompiled(directory)));
    // What a worker that was killed left uncompiled.
    this.#compiler.add(
      packages.flatMap(({ directory }, index) => (compiled[index] === true ? [] : [directory])),
    );
  }

  async #noteUse(packages: readonly LockedPackage[]): Promise<boolean> {
    const there = await Promise.all(packages.map(({ directory }) => this.#shelf.noteUse(directory)));
    return there.every(Boolean);
  }

  async #noteUses(): Promise<void> {
    for (const directory of this.#used)
      try {
        await this.#shelf.noteUse(directory);
      } catch (error) {
        this.#options.logger.warn("that a package is in use could not be noted", {
          package: directory,
          error: messageOf(error),
        });
      }
  }

  #noteFailure(key: string, error: unknown): void {
    this.#failed += 1;
    this.#failures.note(key, error);
  }
}
