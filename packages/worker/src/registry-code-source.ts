import { rmSync } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { basename, join } from "node:path";

import {
  checkCode,
  DEFAULT_PACKED_LIMITS,
  type PackedLimits,
  parseReference,
  type Reference,
} from "@ol/bundle";
import { isOlError, type Logger, messageOf, silentLogger, systemReason } from "@ol/common";
import { type CodeSource, type LambdaCode, lambdaError } from "@ol/lambda";
import { LATEST, type RegistryClient } from "@ol/registry-client";

import { BundlePuller, type PullStats } from "./bundle-puller.ts";
import { BundleShelf } from "./bundle-shelf.ts";
import { CodeDirectories } from "./code-directories.ts";
import { workerError } from "./errors.ts";
import { KeptNames } from "./kept-names.ts";
import { type KnownTag, KnownTags } from "./known-tags.ts";
import { type SignatureOptions, SignaturePolicy } from "./signature-policy.ts";
import { type FoundTag, TagWatch } from "./tag-watch.ts";

/** Where a RegistryCodeSource reads and writes. */
export interface RegistryCodeSourceOptions {
  /** Stays its maker's. */
  readonly client: RegistryClient;
  /** The sandbox engine's `codeDir`, owned by the source: it is emptied at the start. */
  readonly codeDir: string;
  /** Shared by the workers of a cluster: unpacked bundles, and what the registry said last. */
  readonly shelfDir: string;
  /** Unique among them. */
  readonly workerName: string;
  /** Default: DEFAULT_PACKED_LIMITS. */
  readonly limits?: Partial<PackedLimits>;
  readonly signatures: SignatureOptions;
  /** See BundleShelfOptions; default: 1 GiB. */
  readonly maxUnusedBytes?: number;
  /** See BundleShelfOptions; default: a minute. */
  readonly graceMs?: number;
  readonly logger?: Logger;
}

/** Counted since the worker was started. */
export interface RegistryStats extends PullStats {
  /** How often the registry was asked where a tag points. */
  readonly revalidations: number;
  /** How many of these requests failed. */
  readonly failures: number;
  /** Since when all of them have failed, as of Date.now(); undefined if the last one did not. */
  readonly failingSinceMs: number | undefined;
}

const DEFAULT_UNUSED_BYTES = 1024 * 1024 * 1024;
const DEFAULT_GRACE_MS = 60_000;
/** Marks of the use of shelf entries; no lambda can have that name. */
const CLAIMS = ".claims";
/** Whoever ends one version begins another in the same moment. */
const COLLECT_MS = 1_000;
/** A bundle may be removed between a look and the next, and a tag be moved. */
const TRIES = 3;

/** Code from an S3 store. What was fetched once is on this machine, and is run whatever becomes of the store. */
export class RegistryCodeSource implements CodeSource, AsyncDisposable {
  readonly #directories: CodeDirectories;
  readonly #claims: string;
  /** The marks that belong to directories. */
  readonly #claimOf = new Map<string, string>();
  readonly #shelf: BundleShelf;
  readonly #puller: BundlePuller;
  readonly #tags: TagWatch;
  readonly #known: KnownTags;
  readonly #kept: KeptNames;
  readonly #signatures: SignaturePolicy;
  readonly #client: RegistryClient;
  readonly #logger: Logger;
  #collecting: Promise<void> | undefined;
  #collectTimer: NodeJS.Timeout | undefined;
  #closed = false;

  /** Empties codeDir, as CodeDirectories does. Asks nobody yet. Fails with OL_WORKER_BAD_OPTIONS. */
  static async create(options: RegistryCodeSourceOptions): Promise<RegistryCodeSource> {
    const { logger = silentLogger } = options;
    const shelf = await openShelf(options);
    const directories = await CodeDirectories.create(options.codeDir, logger);
    await mkdir(directories.pathOf(CLAIMS));
    const source = new RegistryCodeSource(options, logger, shelf, directories);
    source.#collectSoon();
    return source;
  }

  private constructor(
    options: RegistryCodeSourceOptions,
    logger: Logger,
    shelf: BundleShelf,
    directories: CodeDirectories,
  ) {
    const { client } = options;
    const limits = { ...DEFAULT_PACKED_LIMITS, ...options.limits };
    this.#client = client;
    this.#logger = logger;
    this.#shelf = shelf;
    this.#directories = directories;
    directories.onUnused = (dir) => this.#unused(dir);
    this.#claims = directories.pathOf(CLAIMS);
    this.#known = new KnownTags(join(options.shelfDir, "tags"));
    this.#puller = new BundlePuller({ client, shelf, limits, logger });
    this.#tags = new TagWatch(client);
    this.#kept = new KeptNames(client, this.#known);
    this.#signatures = new SignaturePolicy(options.signatures, logger);
  }

  async resolve(name: string, signal: AbortSignal): Promise<LambdaCode> {
    const reference = parseReference(name);
    const { digest } = reference;
    if (digest !== undefined) return await this.#version(reference.name, digest, signal);
    try {
      return await this.#newest(reference, signal);
    } catch (error) {
      if (isOlError(error) && error.causedBy === "user") throw error;
      return await this.#lastKnown(reference, error);
    }
  }

  async current(name: string, signal: AbortSignal): Promise<string> {
    const { name: lambda, tag = LATEST, digest } = parseReference(name);
    if (digest !== undefined) return digest;
    const found = await this.#tags.find(lambda, tag, signal);
    if (found !== undefined) return found.stamp;
    await this.#known.forget(lambda, tag);
    throw unknown(lambda, tag);
  }

  kept(signal: AbortSignal): Promise<readonly string[]> {
    return this.#kept.names(signal);
  }

  release({ dir }: LambdaCode): void {
    this.#directories.release(dir);
  }

  stats(): RegistryStats {
    return { ...this.#puller.stats(), ...this.#tags.stats() };
  }

  /** Settles when nothing is under way any more. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#collectTimer);
    await this.#puller.stop();
    await this.#tags.stop();
    await this.#directories[Symbol.asyncDispose]();
    await this.#collecting;
  }

  /** Removes from the shelf what nobody uses and no tag that is known names; never rejects. Done by itself when a version ends. */
  collect(): Promise<void> {
    this.#collecting ??= this.#collect().finally(() => {
      this.#collecting = undefined;
    });
    return this.#collecting;
  }

  /** A version is no longer used here; others may use it still. */
  #unused(dir: string): void {
    const claim = this.#claimOf.get(dir);
    this.#claimOf.delete(dir);
    if (claim === undefined) return;
    try {
      rmSync(claim, { force: true });
    } catch (error) {
      // The shelf keeps the version for longer then.
      this.#logger.warn("the mark of a version's use could not be removed", { error: messageOf(error) });
    }
    this.#collectSoon();
  }

  #collectSoon(): void {
    if (this.#closed || this.#collectTimer !== undefined) return;
    this.#collectTimer = setTimeout(() => {
      this.#collectTimer = undefined;
      void this.collect();
    }, COLLECT_MS).unref();
  }

  async #collect(): Promise<void> {
    try {
      const wanted = new Set((await this.#known.all()).map(({ digest }) => digest));
      await this.#shelf.collect((digest) => wanted.has(digest));
    } catch (error) {
      this.#logger.warn("old bundles could not be removed", { error: messageOf(error) });
    }
  }

  /** What the tag points at now. */
  async #newest({ name, tag = LATEST }: Reference, signal: AbortSignal): Promise<LambdaCode> {
    for (let left = TRIES; left > 0; left -= 1) {
      const found = await this.#tags.find(name, tag, signal);
      if (found === undefined) {
        await this.#known.forget(name, tag);
        throw unknown(name, tag);
      }
      try {
        const known = await this.#fetched(name, found, signal);
        if (known === undefined) continue;
        const code = await this.#code(name, known.digest, known.stamp);
        if (code === undefined) continue;
        await this.#note(name, tag, known);
        return code;
      } catch (error) {
        // Removed since the tag was read: then that has moved, or the store is not as it should be.
        if (!isOlError(error, "OL_REGISTRY_CLIENT_NO_VERSION")) throw error;
        if (left <= 1) throw pointsAtNothing(name, tag, error);
      }
    }
    throw busy(name);
  }

  /** What is found has its bundle on the shelf, and may be run; undefined if it changed in between. */
  async #fetched(name: string, found: FoundTag, signal: AbortSignal): Promise<KnownTag | undefined> {
    const { stamp, entry, bare } = found;
    if (entry !== undefined) {
      this.#signatures.check(name, entry.digest, entry.signature);
      if (!(await this.#shelf.has(entry.digest))) await this.#puller.pull(name, entry.digest, signal);
      return { ...entry, stamp };
    }
    const known = await this.#known.read(name, LATEST);
    const digest =
      known?.stamp === stamp && (await this.#shelf.has(known.digest))
        ? known.digest
        : await this.#puller.pullBare(name, bare, signal);
    if (digest === undefined) return undefined;
    this.#signatures.check(name, digest, undefined);
    return { stamp, digest };
  }

  /** A version that never changes; the registry is asked only if it is not known that the lambda has it. */
  async #version(name: string, digest: string, signal: AbortSignal): Promise<LambdaCode> {
    const tag = `@${digest}`;
    for (let left = TRIES; left > 0; left -= 1) {
      const known = await this.#versionKnown(name, digest, await this.#known.read(name, tag), signal);
      this.#signatures.check(name, digest, known.signature);
      const code = await this.#code(name, digest, digest);
      if (code !== undefined) {
        await this.#note(name, tag, known);
        return code;
      }
      await this.#puller.pull(name, digest, signal).catch((error: unknown) => {
        throw versionError(name, digest, error);
      });
    }
    throw busy(name);
  }

  /** Another lambda's bundle may be here under the same digest: that does not make it a version of this one. */
  async #versionKnown(
    name: string,
    digest: string,
    known: KnownTag | undefined,
    signal: AbortSignal,
  ): Promise<KnownTag> {
    // A signature may be renewed, and by another key.
    if (known !== undefined && this.#signatures.trusts(name, digest, known.signature)) return known;
    try {
      const there = await this.#client.hasVersion(name, digest, signal);
      if (!there) throw noSuchVersion(name, digest);
      const signature = await this.#signatureOf(name, digest, signal);
      return { stamp: digest, digest, ...(signature !== undefined && { signature }) };
    } catch (error) {
      if (known === undefined || (isOlError(error) && error.causedBy === "user")) throw error;
      return known;
    }
  }

  /** One that is trusted, if there is one. */
  async #signatureOf(name: string, digest: string, signal: AbortSignal): Promise<string | undefined> {
    if (this.#signatures.mode === "off") return undefined;
    const signatures = await this.#client.signatures(name, digest, signal);
    return signatures.find((one) => this.#signatures.trusts(name, digest, one)) ?? signatures[0];
  }

  /** For a start while the registry is down; what is here and right is run even so if the disk is full. */
  async #note(name: string, tag: string, known: KnownTag): Promise<void> {
    try {
      await this.#known.write(name, tag, known);
    } catch (error) {
      this.#logger.warn("it cannot be noted down what the registry says of a lambda", {
        lambda: name,
        error: messageOf(error),
      });
    }
  }

  /** What was the newest when the registry could still be asked. Fails with why it cannot if that is not known. */
  async #lastKnown({ name, tag = LATEST }: Reference, error: unknown): Promise<LambdaCode> {
    const known = await this.#known.read(name, tag);
    if (known === undefined) throw error;
    this.#signatures.check(name, known.digest, known.signature);
    const code = await this.#code(name, known.digest, known.stamp);
    if (code === undefined) throw error;
    return { ...code, unconfirmed: error instanceof Error ? error : new Error(String(error)) };
  }

  /** The version as sandboxes see it; undefined if the shelf does not have it. Fails with what is wrong with the code. */
  async #code(name: string, digest: string, stamp: string): Promise<LambdaCode | undefined> {
    const dir = `${name}@${digest}`;
    if (!this.#directories.use(dir) && !(await this.#adopt(dir, digest))) return undefined;
    try {
      const { config, requirements } = await checkCode(this.#directories.pathOf(dir));
      const wanted = requirements === undefined ? {} : { requirements: requirements.requirements };
      return { name, digest, dir, stamp, config, ...wanted };
    } catch (error) {
      this.#directories.release(dir);
      throw error;
    }
  }

  async #adopt(dir: string, digest: string): Promise<boolean> {
    const fresh = this.#directories.fresh();
    const claim = join(this.#claims, basename(fresh));
    if (!(await this.#shelf.take(digest, fresh, claim))) return false;
    this.#puller.settle(digest);
    if (await this.#directories.adopt(dir, fresh)) this.#claimOf.set(dir, claim);
    else await rm(claim, { force: true });
    return true;
  }
}

const openShelf = async (options: RegistryCodeSourceOptions): Promise<BundleShelf> => {
  try {
    return await BundleShelf.open({
      directory: options.shelfDir,
      worker: options.workerName,
      maxUnusedBytes: options.maxUnusedBytes ?? DEFAULT_UNUSED_BYTES,
      graceMs: options.graceMs ?? DEFAULT_GRACE_MS,
    });
  } catch (error) {
    throw workerError(
      "OL_WORKER_BAD_OPTIONS",
      `the directory for bundles from the registry, ${options.shelfDir}, cannot be used: ${systemReason(error)}`,
      { cause: error },
    );
  }
};

const unknown = (name: string, tag: string): Error =>
  lambdaError(
    "OL_LAMBDA_UNKNOWN",
    `there is no lambda ${name}${tag === LATEST ? "" : `@${tag}`} in the registry`,
  );

const noSuchVersion = (name: string, digest: string, cause?: unknown): Error =>
  lambdaError("OL_LAMBDA_UNKNOWN", `there is no version sha256:${digest} of ${name} in the registry`, {
    cause,
  });

const versionError = (name: string, digest: string, error: unknown): unknown =>
  isOlError(error, "OL_REGISTRY_CLIENT_NO_VERSION") ? noSuchVersion(name, digest, error) : error;

const pointsAtNothing = (name: string, tag: string, cause: unknown): Error =>
  lambdaError("OL_LAMBDA_LOAD_FAILED", `the bundle that ${name}@${tag} points at is not in the registry`, {
    cause,
  });

const busy = (name: string): Error =>
  lambdaError("OL_LAMBDA_LOAD_FAILED", `the code of ${name} changed again and again while it was fetched`);
