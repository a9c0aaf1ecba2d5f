import type { Stats } from "node:fs";
import { stat, utimes } from "node:fs/promises";
import { join } from "node:path";

import {
  lineOf,
  type Lock,
  normalizeVersion,
  packageDirectory,
  type Pin,
  requirementsDigest,
} from "@ol/bundle";
import { type HeldLock, isOlError, type Logger, lockFree, messageOf, tryLock } from "@ol/common";
import type { KeepOutcome } from "@ol/sandbox";

import { lambdaError } from "../errors.ts";
import { Compiler } from "./compiler.ts";
import { type InstallOutcome, type Installer, installerError, type InstallerSession } from "./installer.ts";
import type { LockStore } from "./lock-store.ts";
import type { LockedPackage, PackageRequest, InstalledSet, PackageSource } from "./package-source.ts";
import { installedSet, lockedPackages } from "./installed-set.ts";

/** What a store is made from. */
export interface PackageStoreOptions {
  /** The sandbox engine's `packagesDir`. */
  readonly packagesDir: string;
  /** The Python that sandboxes run, such as `3.11`. */
  readonly python: string;
  /** As `uname -m` says it. */
  readonly machine: string;
  readonly installer: Installer;
  readonly locks: LockStore;
  /** Packages are installed under kernel locks of names that begin so: one for all who share the directory. */
  readonly lockPrefix: string;
  /** Longest wait for somebody else who installs the same, in ms. */
  readonly waitMs: number;
  readonly logger: Logger;
}

/** What a store has done since it was made. */
export interface PackageStoreStats {
  /** Sets of packages being provided. */
  readonly providing: number;
  readonly resolved: number;
  readonly installed: number;
  readonly installedBytes: number;
  readonly compiled: number;
  readonly failed: number;
}

/** A mistake in a lambda's requirements is not tried again before this time; what is new in the index waits that long. */
const BAD_MS = 60_000;
/** As long as an index is away, it is not asked again before this time, for one set. */
const UNAVAILABLE_MS = 5_000;
/** Packages that one call of the installer installs: progress is told between them. */
const BATCH = 12;
/** How often it is looked whether all is there, when others install some of it. */
const MOST_ROUNDS = 5;
const DAY_MS = 86_400_000;

/**
 * The packages of one Python, `<packagesDir>/<python>-<machine>/<name>-<version>-<hash>`: installed once, whoever asks and however
 * many, and never changed afterwards. What is there is complete: it was made elsewhere and renamed.
 */
export class PackageStore implements PackageSource {
  readonly #options: PackageStoreOptions;
  readonly #directory: string;
  readonly #providing = new Map<string, Promise<InstalledSet>>();
  /** By the directory's name: packages being installed by this store. */
  readonly #installing = new Map<string, Promise<void>>();
  readonly #failures = new Map<string, { readonly error: unknown; readonly untilMs: number }>();
  readonly #compiler: Compiler;
  #resolved = 0;
  #installed = 0;
  #installedBytes = 0;
  #failed = 0;

  constructor(options: PackageStoreOptions) {
    this.#options = options;
    this.#directory = `${options.python}-${options.machine}`;
    this.#compiler = new Compiler(options.installer, options.logger);
  }

  provide(request: PackageRequest): Promise<InstalledSet> {
    const key = `${request.lambda}@${request.digest}`;
    const failure = this.#failures.get(key);
    if (failure !== undefined && performance.now() < failure.untilMs) return Promise.reject(failure.error);
    this.#failures.delete(key);
    let providing = this.#providing.get(key);
    if (providing === undefined) {
      providing = this.#provide(request);
      this.#providing.set(key, providing);
      providing
        .catch((error: unknown) => this.#remember(key, error))
        .finally(() => this.#providing.delete(key));
    }
    return providing;
  }

  /** Installs what these lines come to, for no lambda. Settles when it is compiled too. */
  async install(lines: readonly string[]): Promise<InstalledSet> {
    await using session = await this.#options.installer.open();
    const packages = this.#locked(await this.#resolve(lines, session));
    await this.#installAll(packages, session);
    await this.#compiler.compile(packages.map(({ directory }) => directory));
    return installedSet(packages, this.#options.packagesDir);
  }

  stats(): PackageStoreStats {
    return {
      providing: this.#providing.size,
      resolved: this.#resolved,
      installed: this.#installed,
      installedBytes: this.#installedBytes,
      compiled: this.#compiler.compiled,
      failed: this.#failed,
    };
  }

  async #provide(request: PackageRequest): Promise<InstalledSet> {
    await using opened = new Opened(this.#options.installer);
    const lock = await this.#lockOf(request, opened);
    const packages = this.#locked(lock.pins);
    const session = opened.take();
    try {
      await this.#installAll(packages, session);
    } finally {
      await session?.[Symbol.asyncDispose]();
    }
    await this.#used(packages);
    return installedSet(packages, this.#options.packagesDir);
  }

  #locked(pins: readonly Pin[]): readonly LockedPackage[] {
    return lockedPackages(pins, (pin) => `${this.#directory}/${packageDirectory(pin)}`);
  }

  // Resolving

  /** What the code was resolved to, by whomever; resolved now if nobody did. */
  async #lockOf({ lambda, digest, requirements }: PackageRequest, opened: Opened): Promise<Lock> {
    const { python, machine, locks, logger } = this.#options;
    const key = { lambda, digest, python, machine };
    const wanted = requirementsDigest(requirements);
    try {
      const known = await locks.read(key);
      if (known?.requirements === wanted) return known;
    } catch (error) {
      logger.warn("a lambda's lock cannot be read; its packages are resolved anew", {
        lambda,
        error: messageOf(error),
      });
    }
    const pins = await this.#resolve(requirements.map(lineOf), await opened.session());
    const lock = { python, machine, requirements: wanted, pins };
    try {
      return await locks.write(key, lock);
    } catch (error) {
      // It serves all the same, until the worker is started anew.
      logger.warn("a lambda's lock cannot be written", { lambda, error: messageOf(error) });
      return lock;
    }
  }

  async #resolve(lines: readonly string[], session: InstallerSession): Promise<readonly Pin[]> {
    const pins = await session.resolve(lines);
    this.#resolved += 1;
    return pins.map((pin) => ({ ...pin, version: normalizeVersion(pin.version) ?? pin.version }));
  }

  // Installing

  /** Settles when all are there. A session that is given is used up. */
  async #installAll(
    packages: readonly LockedPackage[],
    session: InstallerSession | undefined,
  ): Promise<void> {
    let ready = session;
    for (let round = 0; round < MOST_ROUNDS; round += 1) {
      const missing = await this.#missing(packages);
      if (missing.length === 0) return;
      const going = missing.map((one) => this.#installing.get(one.directory));
      const mine = missing.filter((_one, index) => going[index] === undefined);
      if (mine.length > 0) this.#begin(mine, ready);
      ready = undefined;
      await Promise.all(missing.flatMap((one) => this.#installing.get(one.directory) ?? []));
    }
    throw lambdaError("OL_LAMBDA_PACKAGES_UNAVAILABLE", "packages that were installed are gone at once");
  }

  async #missing(packages: readonly LockedPackage[]): Promise<readonly LockedPackage[]> {
    const there = await Promise.all(packages.map(({ directory }) => this.#exists(directory)));
    return packages.filter((_package, index) => there[index] === false);
  }

  #begin(packages: readonly LockedPackage[], session: InstallerSession | undefined): void {
    const work = this.#installUnclaimed(packages, session);
    for (const { directory } of packages) {
      const one = this.#outcomeOf(directory, work);
      this.#installing.set(directory, one);
      one.catch(() => undefined).finally(() => this.#installing.delete(directory));
    }
  }

  async #outcomeOf(directory: string, work: Promise<ReadonlyMap<string, unknown>>): Promise<void> {
    const fault = (await work).get(directory);
    if (fault !== undefined) throw fault;
  }

  /** Installs those that nobody else installs, and waits for the others'. Returns why some could not be, by directory. */
  async #installUnclaimed(
    packages: readonly LockedPackage[],
    session: InstallerSession | undefined,
  ): Promise<ReadonlyMap<string, unknown>> {
    const claimed: LockedPackage[] = [];
    const others: LockedPackage[] = [];
    const held: HeldLock[] = [];
    try {
      for (const one of packages) {
        const lock = await tryLock(this.#lockName(one), `installs ${one.name} (process ${process.pid})`);
        if (lock === undefined) others.push(one);
        else held.push(lock);
        // Whoever had the lock until now may just have finished.
        if (lock !== undefined && !(await this.#exists(one.directory))) claimed.push(one);
      }
      return claimed.length === 0 ? new Map() : await this.#installClaimed(claimed, session);
    } catch (error) {
      return new Map(packages.map(({ directory }) => [directory, error]));
    } finally {
      await Promise.all(held.map((lock) => lock.release()));
      await Promise.all(others.map((one) => this.#released(one)));
    }
  }

  /** Settles when nobody holds the package's lock, or after a while: then it is looked again. */
  async #released(one: LockedPackage): Promise<void> {
    try {
      await lockFree(this.#lockName(one), () => undefined, AbortSignal.timeout(this.#options.waitMs));
    } catch (error) {
      this.#options.logger.warn("another worker takes long to install a package", {
        package: one.id,
        error: messageOf(error),
      });
    }
  }

  #lockName({ directory }: LockedPackage): string {
    // The hash alone, since a kernel lock's name has 107 bytes: of all that names a package it is what differs.
    return `${this.#options.lockPrefix}-${this.#directory}-${directory.slice(-12)}`;
  }

  async #installClaimed(
    packages: readonly LockedPackage[],
    given: InstallerSession | undefined,
  ): Promise<ReadonlyMap<string, unknown>> {
    const session = given ?? (await this.#options.installer.open());
    await using _ended = session;
    const faults = new Map<string, unknown>();
    const made: LockedPackage[] = [];
    const sizes = new Map<string, number>();
    const sinceMs = performance.now();
    for (let first = 0; first < packages.length; first += BATCH) {
      const batch = packages.slice(first, first + BATCH);
      const outcomes = await session.install(
        batch.map(({ name, version, hashes, directory }) => ({
          name,
          version,
          hashes,
          directory: nameOf(directory),
        })),
      );
      for (const [index, one] of batch.entries()) {
        const outcome = outcomes[index] as InstallOutcome;
        if (outcome.ok) {
          made.push(one);
          sizes.set(one.directory, outcome.bytes);
        } else
          faults.set(
            one.directory,
            installerError(outcome.kind, `${one.name}==${one.version}: ${outcome.reason}`),
          );
      }
      this.#say("installing packages", { done: first + batch.length, of: packages.length });
    }
    const kept = await session.keep(
      made.map(({ directory }) => ({ source: nameOf(directory), target: directory })),
    );
    for (const [index, one] of made.entries()) this.#kept(one, kept[index], faults, sizes);
    this.#say("installed packages", {
      packages: made.map(({ id }) => id).join(" "),
      ms: Math.round(performance.now() - sinceMs),
    });
    this.#compiler.add(made.map(({ directory }) => directory));
    return faults;
  }

  #kept(
    one: LockedPackage,
    outcome: KeepOutcome | undefined,
    faults: Map<string, unknown>,
    sizes: ReadonlyMap<string, number>,
  ): void {
    if (outcome?.kind === "kept") {
      this.#installed += 1;
      this.#installedBytes += sizes.get(one.directory) ?? 0;
    } else if (outcome?.kind === "refused")
      faults.set(
        one.directory,
        lambdaError("OL_LAMBDA_BAD_PACKAGES", `${one.name}==${one.version} is refused: ${outcome.reason}`),
      );
  }

  async #exists(directory: string): Promise<boolean> {
    return (await this.#statOf(directory))?.isDirectory() ?? false;
  }

  async #isCompiled(directory: string): Promise<boolean> {
    return (await this.#statOf(`${directory}/${Compiler.MARK}`)) !== undefined;
  }

  async #statOf(path: string): Promise<Stats | undefined> {
    try {
      return await stat(join(this.#options.packagesDir, path));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw error;
    }
  }

  /** Notes for `gc` that they are in use, and has compiled what a worker that was killed left uncompiled. */
  async #used(packages: readonly LockedPackage[]): Promise<void> {
    const uncompiled: string[] = [];
    for (const { directory } of packages) {
      const path = join(this.#options.packagesDir, directory);
      const nowMs = Date.now();
      const { mtimeMs } = await stat(path);
      try {
        if (nowMs - mtimeMs > DAY_MS) await utimes(path, nowMs / 1_000, nowMs / 1_000);
      } catch (error) {
        // Not ours: then whoever owns them decides how long they stay.
        if ((error as NodeJS.ErrnoException).code !== "EPERM") throw error;
      }
      if (!(await this.#isCompiled(directory))) uncompiled.push(directory);
    }
    this.#compiler.add(uncompiled);
  }

  #remember(key: string, error: unknown): void {
    this.#failed += 1;
    const forMs = isOlError(error) && error.causedBy === "user" ? BAD_MS : UNAVAILABLE_MS;
    this.#failures.set(key, { error, untilMs: performance.now() + forMs });
    for (const [other, { untilMs }] of this.#failures)
      if (untilMs < performance.now()) this.#failures.delete(other);
  }

  #say(message: string, fields: Readonly<Record<string, unknown>>): void {
    this.#options.logger.info(message, fields);
  }
}

/** A session that is opened by whoever needs it first. */
class Opened implements AsyncDisposable {
  readonly #installer: Installer;
  #session: InstallerSession | undefined;

  constructor(installer: Installer) {
    this.#installer = installer;
  }

  async session(): Promise<InstallerSession> {
    this.#session ??= await this.#installer.open();
    return this.#session;
  }

  /** What was opened, which is the caller's from now on. */
  take(): InstallerSession | undefined {
    const session = this.#session;
    this.#session = undefined;
    return session;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#session?.[Symbol.asyncDispose]();
  }
}

const nameOf = (directory: string): string => directory.slice(directory.lastIndexOf("/") + 1);
