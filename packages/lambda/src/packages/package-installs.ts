import { type HeldLock, type Logger, messageOf } from "@ol/common";

import { lambdaError } from "../errors.ts";
import { badPackages, type InstallOutcome, installerError } from "./installer-answer.ts";
import type { Installer } from "./installer.ts";
import type { InstallerSession } from "./installer-session.ts";
import type { OpenedSession } from "./opened-session.ts";
import type { PackageShelf } from "./package-shelf.ts";
import type { LockedPackage } from "./package-source.ts";

export interface PackageInstallsOptions {
  readonly shelf: PackageShelf;
  readonly installer: Installer;
  /** Longest wait for somebody else who installs the same, in ms. */
  readonly waitMs: number;
  /** New packages are there; nobody waits for what is done with them. */
  readonly made: (directories: readonly string[]) => void;
  readonly logger: Logger;
}

/** Why some could not be installed, by directory. */
type Faults = Map<string, unknown>;

/** How often it is looked whether all is there, when others install some of it. */
const MOST_ROUNDS = 5;
/** Packages that one call of the installer installs: progress is told between them. */
const BATCH = 12;
/** Packages of one session: what the broker is told of them in one message. */
const SESSION = 4 * BATCH;

/** Puts packages on the shelf, each once, whoever asks and however many. */
export class PackageInstalls {
  readonly #options: PackageInstallsOptions;
  /** By directory: what is being installed for somebody here. */
  readonly #going = new Map<string, Promise<void>>();
  #installed = 0;
  #installedBytes = 0;

  constructor(options: PackageInstallsOptions) {
    this.#options = options;
  }

  get installed(): number {
    return this.#installed;
  }

  get installedBytes(): number {
    return this.#installedBytes;
  }

  /** Settles when all are there. Uses the session up. Fails with the first fault that is met. */
  async ensure(packages: readonly LockedPackage[], opened: OpenedSession): Promise<void> {
    for (let round = 0; round < MOST_ROUNDS; round += 1) {
      const missing = await this.#missing(packages);
      if (missing.length === 0) return;
      const mine = missing.filter(({ directory }) => !this.#going.has(directory));
      // Whoever of the others has begun may be waiting for the place of a session.
      if (mine.length === 0) await opened.close();
      else this.#begin(mine, opened);
      await Promise.all(missing.flatMap(({ directory }) => this.#going.get(directory) ?? []));
    }
    throw lambdaError("OL_LAMBDA_PACKAGES_UNAVAILABLE", "packages that were installed are gone at once");
  }

  async #missing(packages: readonly LockedPackage[]): Promise<readonly LockedPackage[]> {
    const there = await Promise.all(packages.map(({ directory }) => this.#options.shelf.has(directory)));
    return packages.filter((_package, index) => there[index] === false);
  }

  #begin(packages: readonly LockedPackage[], opened: OpenedSession): void {
    const work = this.#installUnclaimed(packages, opened);
    for (const { directory } of packages) {
      const one = outcomeOf(directory, work);
      this.#going.set(directory, one);
      const over = (): boolean => this.#going.delete(directory);
      one.then(over, over);
    }
  }

  /** Installs those that nobody else installs, and waits for the others'. */
  async #installUnclaimed(packages: readonly LockedPackage[], opened: OpenedSession): Promise<Faults> {
    const claimed: LockedPackage[] = [];
    const others: LockedPackage[] = [];
    const held: HeldLock[] = [];
    try {
      for (const one of packages) {
        const lock = await this.#options.shelf.claim(one.directory);
        if (lock === undefined) others.push(one);
        else held.push(lock);
        // Whoever had the lock until now may just have finished.
        if (lock !== undefined && !(await this.#options.shelf.has(one.directory))) claimed.push(one);
      }
      return await this.#installClaimed(claimed, opened);
    } catch (error) {
      return new Map(packages.map(({ directory }) => [directory, error]));
    } finally {
      await opened.close();
      await Promise.all(held.map((lock) => lock.release()));
      await Promise.all(others.map((one) => this.#others(one, opened)));
    }
  }

  /** Settles when whoever installs it is done; then it is looked whether it is there. One who takes too long is not waited for. */
  async #others(one: LockedPackage, opened: OpenedSession): Promise<void> {
    const { shelf, waitMs, logger } = this.#options;
    try {
      await shelf.unclaimed(one.directory, AbortSignal.timeout(waitMs));
    } catch (error) {
      logger.warn("another worker takes too long to install a package; it is installed twice", {
        package: one.id,
        error: messageOf(error),
      });
      const faults = await this.#installClaimed([one], opened);
      if (faults.size > 0) logger.warn("nor can it be installed here", { package: one.id });
    }
  }

  async #installClaimed(packages: readonly LockedPackage[], opened: OpenedSession): Promise<Faults> {
    const sinceMs = performance.now();
    const faults: Faults = new Map();
    for (let first = 0; first < packages.length; first += SESSION) {
      const part = packages.slice(first, first + SESSION);
      const unbuilt = await this.#installPart(part, opened, false, faults);
      // Code of theirs is run: each has a sandbox to itself.
      for (const one of unbuilt) await this.#installPart([one], opened, true, faults);
    }
    if (packages.length > 0)
      this.#options.logger.info("installed packages", {
        packages: packages.flatMap(({ id, directory }) => (faults.has(directory) ? [] : [id])).join(" "),
        ms: Math.round(performance.now() - sinceMs),
      });
    return faults;
  }

  /** In one session, which ends. Returns those that have no wheel, where they may be built. */
  async #installPart(
    packages: readonly LockedPackage[],
    opened: OpenedSession,
    source: boolean,
    faults: Faults,
  ): Promise<readonly LockedPackage[]> {
    const session = await opened.get();
    try {
      const outcomes = await this.#unpack(packages, session, source);
      const mayBuild = !source && this.#options.installer.source;
      const made: LockedPackage[] = [];
      const unbuilt: LockedPackage[] = [];
      for (const [index, one] of packages.entries()) {
        const outcome = outcomes[index] as InstallOutcome;
        if (outcome.ok) made.push(one);
        else if (mayBuild && outcome.kind === "unsatisfiable") unbuilt.push(one);
        else
          faults.set(
            one.directory,
            installerError(outcome.kind, outcome.reason, `${one.name}==${one.version}`),
          );
      }
      const sizes = packages.map((_one, index) => sizeOf(outcomes[index]));
      await this.#keep(
        made,
        session,
        faults,
        new Map(packages.map((one, index) => [one, sizes[index] ?? 0])),
      );
      return unbuilt;
    } finally {
      await opened.close();
    }
  }

  async #unpack(
    packages: readonly LockedPackage[],
    session: InstallerSession,
    source: boolean,
  ): Promise<readonly InstallOutcome[]> {
    const outcomes: InstallOutcome[] = [];
    for (let first = 0; first < packages.length; first += BATCH) {
      const batch = packages.slice(first, first + BATCH);
      const pins = batch.map(({ name, version, hashes, directory }) => ({
        name,
        version,
        hashes,
        directory: nameOf(directory),
      }));
      outcomes.push(...(await session.install(pins, source)));
      if (packages.length > BATCH)
        this.#options.logger.info("installing packages", { done: outcomes.length, of: packages.length });
    }
    return outcomes;
  }

  async #keep(
    packages: readonly LockedPackage[],
    session: InstallerSession,
    faults: Faults,
    sizes: ReadonlyMap<LockedPackage, number>,
  ): Promise<void> {
    if (packages.length === 0) return;
    const outcomes = await session.keep(
      packages.map(({ directory }) => ({ source: nameOf(directory), target: directory })),
    );
    const made: string[] = [];
    for (const [index, one] of packages.entries()) {
      const { directory } = one;
      const outcome = outcomes[index];
      if (outcome?.kind === "kept") {
        this.#installed += 1;
        this.#installedBytes += sizes.get(one) ?? 0;
        made.push(directory);
      } else if (outcome?.kind === "refused")
        faults.set(directory, badPackages(`${one.name}==${one.version} is refused: ${outcome.reason}`));
      else if (outcome?.kind === "failed")
        faults.set(
          directory,
          lambdaError(
            "OL_LAMBDA_PACKAGES_UNAVAILABLE",
            `${one.name}==${one.version} could not be put among the packages: ${outcome.reason}`,
          ),
        );
    }
    this.#options.made(made);
  }
}

const outcomeOf = async (directory: string, work: Promise<Faults>): Promise<void> => {
  const faults = await work;
  if (faults.has(directory)) throw faults.get(directory);
};

const nameOf = (directory: string): string => directory.slice(directory.lastIndexOf("/") + 1);

const sizeOf = (outcome: InstallOutcome | undefined): number => (outcome?.ok === true ? outcome.bytes : 0);
