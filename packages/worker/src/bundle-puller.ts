import { createHash } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { rm } from "node:fs/promises";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";

import { bundleError, type PackedLimits, unpackBundle } from "@ol/bundle";
import { isOlError, lockFree, type Logger, messageOf, tryLock, within } from "@ol/common";
import type { BareBundle, RegistryClient } from "@ol/registry-client";

import type { BundleShelf } from "./bundle-shelf.ts";
import { SharedWork } from "./shared-work.ts";

/** Counted since the worker was started. */
export interface PullStats {
  /** Bundles that came from the registry and were unpacked. */
  readonly pulls: number;
  /** Packed. */
  readonly pulledBytes: number;
  /** Bundles that did not come, or could not be unpacked. */
  readonly pullFailures: number;
}

/** What a pull is made with. */
export interface BundlePullerOptions {
  readonly client: RegistryClient;
  readonly shelf: BundleShelf;
  readonly limits: PackedLimits;
  readonly logger: Logger;
}

/** The largest bundle over a slow line; the client gives up long before on a store that is silent. */
const PULL_MS = 600_000;
/** A worker that ends waits so long for the disk. */
const SETTLE_MS = 2_000;
/** What failed is not fetched again within this time, however often it is asked for. */
const RETRY_MS = 10_000;
/** What is wrong with a bundle stays wrong: its digest is its name. */
const MAX_BAD = 1_000;

/** A bundle on this machine, not unpacked yet. */
interface Spooled {
  readonly file: string;
  readonly digest: string;
  readonly bytes: number;
}

/** Brings bundles from the registry to the shelf: first all of its bytes, checked, and only then are they unpacked. */
export class BundlePuller {
  readonly #options: BundlePullerOptions;
  readonly #work = new SharedWork<string>(PULL_MS);
  /** By digest. */
  readonly #settling = new Map<string, Promise<void>>();
  readonly #stop = new AbortController();
  /** Why, and until when, by digest. */
  readonly #bad = new Map<string, { readonly error: Error; readonly untilMs: number }>();
  #pulls = 0;
  #pulledBytes = 0;
  #failures = 0;

  constructor(options: BundlePullerOptions) {
    this.#options = options;
  }

  stats(): PullStats {
    return { pulls: this.#pulls, pulledBytes: this.#pulledBytes, pullFailures: this.#failures };
  }

  /**
   * Has the version on the shelf: once, however many ask. Fails with OL_REGISTRY_CLIENT_NO_VERSION if it is not in the registry,
   * with what is wrong with the bundle (OL_BUNDLE_...), and as the client does.
   */
  async pull(name: string, digest: string, signal: AbortSignal): Promise<void> {
    const bad = this.#bad.get(digest);
    if (bad !== undefined && performance.now() < bad.untilMs) throw bad.error;
    await this.#work.run(digest, signal, (limit) => this.#once(name, digest, limit));
  }

  /** As `pull`, of a bundle whose digest shows only then. Undefined if it is no longer there as it was. */
  async pullBare(name: string, bare: BareBundle, signal: AbortSignal): Promise<string | undefined> {
    const digest = await this.#work.run(`${bare.key}\n${bare.stamp}`, signal, async (limit) => {
      const body = await this.#options.client.downloadBare(bare, limit);
      if (body === undefined) return "";
      return await this.#counted(() => this.#fetch(name, body, limit));
    });
    return digest === "" ? undefined : digest;
  }

  /** Gives up what is being fetched; what is there already is brought to the disk, if that does not take long. */
  async stop(): Promise<void> {
    const reason = new Error("the worker ends");
    await this.#work.stop(reason);
    const settled = Promise.all(this.#settling.values());
    await within(settled, SETTLE_MS);
    this.#stop.abort(reason);
    await settled;
  }

  /** Sees to it, beside the calls, that what is on the shelf is on the disk as well. */
  settle(digest: string): void {
    if (this.#settling.has(digest)) return;
    const { shelf, logger } = this.#options;
    const settled = shelf
      .settle(digest, this.#stop.signal)
      .catch((error: unknown) => {
        if (!this.#stop.signal.aborted)
          logger.warn("a bundle cannot be brought to the disk for good", { digest, error: messageOf(error) });
      })
      .finally(() => this.#settling.delete(digest));
    this.#settling.set(digest, settled);
  }

  /** Workers of one machine that want the same at the same time fetch it once; a lock only saves work. */
  async #once(name: string, digest: string, signal: AbortSignal): Promise<string> {
    const { shelf, client } = this.#options;
    const lockName = lockOf(shelf.directory, digest);
    for (;;) {
      await using lock = await tryLock(lockName, `fetches ${digest} (process ${process.pid})`);
      if (await shelf.has(digest)) return digest;
      if (lock === undefined) {
        await lockFree(lockName, () => undefined, signal);
        continue;
      }
      return await this.#counted(
        async () => this.#fetch(name, await client.download(name, digest, signal), signal),
        digest,
      );
    }
  }

  async #counted(fetch: () => Promise<string>, digest?: string): Promise<string> {
    try {
      const fetched = await fetch();
      this.#pulls += 1;
      return fetched;
    } catch (error) {
      this.#failures += 1;
      if (digest !== undefined && !isOlError(error, "OL_REGISTRY_CLIENT_NO_VERSION"))
        this.#remember(digest, error as Error);
      throw error;
    }
  }

  /** Returns the digest. */
  async #fetch(name: string, body: Readable, signal: AbortSignal): Promise<string> {
    const { shelf, limits, logger } = this.#options;
    const sinceMs = performance.now();
    const spooled = await this.#spool(name, body, signal);
    const tree = shelf.fresh();
    try {
      const { bytes } = await unpackBundle(createReadStream(spooled.file), tree, { limits, signal });
      await shelf.add(spooled.digest, tree, bytes);
    } finally {
      await rm(spooled.file, { force: true });
      await rm(tree, { recursive: true, force: true });
    }
    this.#pulledBytes += spooled.bytes;
    logger.info("a lambda's bundle was fetched", {
      lambda: name,
      digest: spooled.digest,
      bytes: spooled.bytes,
      ms: Math.round(performance.now() - sinceMs),
    });
    return spooled.digest;
  }

  /** Nothing is unpacked before all of it is there and right: the client's stream fails at its end if the digest is not. */
  async #spool(name: string, body: Readable, signal: AbortSignal): Promise<Spooled> {
    const file = this.#options.shelf.fresh();
    const hash = createHash("sha256");
    let bytes = 0;
    const { maxPackedBytes } = this.#options.limits;
    const counted = async function* (source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
      for await (const chunk of source) {
        bytes += chunk.length;
        if (bytes > maxPackedBytes) throw tooLarge(name, maxPackedBytes);
        hash.update(chunk);
        yield chunk;
      }
    };
    try {
      await pipeline(body, counted, createWriteStream(file, { flags: "wx", mode: 0o600 }), { signal });
    } catch (error) {
      await rm(file, { force: true });
      throw signal.aborted ? signal.reason : error;
    }
    return { file, digest: hash.digest("hex"), bytes };
  }

  #remember(digest: string, error: Error): void {
    if (this.#stop.signal.aborted) return;
    if (this.#bad.size >= MAX_BAD) this.#bad.clear();
    const forGood = isOlError(error) && error.causedBy === "user";
    this.#bad.set(digest, {
      error,
      untilMs: forGood ? Number.POSITIVE_INFINITY : performance.now() + RETRY_MS,
    });
  }
}

const tooLarge = (name: string, maxBytes: number): Error =>
  bundleError(
    "OL_BUNDLE_TOO_LARGE",
    `the packed bundle of ${name} is larger than ${Math.floor(maxBytes / 1024 / 1024)} MiB`,
  );

/** A kernel lock's name has 107 bytes: enough of both to differ. */
const lockOf = (directory: string, digest: string): string =>
  `ol-pull-${createHash("sha256").update(directory).digest("hex").slice(0, 16)}-${digest.slice(0, 32)}`;
