import { type Lock, type Pin, type Requirement, requirementsDigest } from "@ol/bundle";
import { type Logger, messageOf } from "@ol/common";

import type { Installer } from "./installer.ts";
import type { LockStore } from "./lock-store.ts";
import type { OpenedSession } from "./opened-session.ts";
import type { PackageRequest } from "./package-source.ts";

export interface ResolverOptions {
  readonly python: string;
  readonly machine: string;
  readonly installer: Installer;
  readonly locks: LockStore;
  readonly logger: Logger;
}

/**
 * For so long the same requirements come to the same packages: lambdas that are deployed together share them then, and their
 * zygotes, whatever is published meanwhile.
 */
const KNOWN_MS = 60_000;

/**
 * Finds out what requirements come to: once for each version of a lambda's code, and once for all who ask the same within a
 * minute.
 */
export class Resolver {
  readonly #options: ResolverOptions;
  /** By the requirements' digest. */
  readonly #going = new Map<string, Promise<readonly Pin[]>>();
  readonly #known = new Map<string, { readonly pins: readonly Pin[]; readonly untilMs: number }>();
  #resolved = 0;

  constructor(options: ResolverOptions) {
    this.#options = options;
  }

  get resolved(): number {
    return this.#resolved;
  }

  /** What the code was resolved to, by whomever; resolved now if nobody did. */
  async lockOf({ lambda, digest, requirements }: PackageRequest, opened: OpenedSession): Promise<Lock> {
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
    const pins = await this.resolve(requirements, opened);
    const lock = { python, machine, requirements: wanted, pins };
    try {
      return await locks.write(key, lock);
    } catch (error) {
      // It serves all the same, until the worker is started anew.
      logger.warn("a lambda's lock cannot be written", { lambda, error: messageOf(error) });
      return lock;
    }
  }

  /** What they come to now. */
  async resolve(requirements: readonly Requirement[], opened: OpenedSession): Promise<readonly Pin[]> {
    const key = requirementsDigest(requirements);
    const known = this.#known.get(key);
    if (known !== undefined && performance.now() < known.untilMs) return known.pins;
    const going = this.#going.get(key) ?? this.#resolve(requirements, opened);
    if (!this.#going.has(key)) {
      this.#going.set(key, going);
      const over = (): boolean => this.#going.delete(key);
      going.then((pins) => over() && this.#remember(key, pins), over);
    }
    return going;
  }

  #remember(key: string, pins: readonly Pin[]): void {
    const nowMs = performance.now();
    for (const [other, { untilMs }] of this.#known) if (untilMs <= nowMs) this.#known.delete(other);
    this.#known.set(key, { pins, untilMs: nowMs + KNOWN_MS });
  }

  async #resolve(requirements: readonly Requirement[], opened: OpenedSession): Promise<readonly Pin[]> {
    const session = await opened.get();
    const pins = await session.resolve(requirements);
    this.#resolved += 1;
    // What was built to read what it needs may have left anything behind for those that are installed here.
    if (this.#options.installer.source) await opened.close();
    return pins;
  }
}
