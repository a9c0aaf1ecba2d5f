import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { Readable } from "node:stream";

import { systemReason } from "@ol/common";

import { registryClientError } from "./errors.ts";
import { failureOf } from "./failure.ts";
import { bareKeys, blobKey } from "./layout.ts";
import type { ObjectAccess } from "./object-access.ts";
import type { Content } from "./store-requests.ts";

/** A bundle on this machine. */
export interface BundleFile {
  readonly name: string;
  readonly file: string;
  /** SHA-256 of its bytes in hexadecimal. */
  readonly digest: string;
  /** In bytes. */
  readonly size: number;
}

/** A bundle that somebody put into the bucket by hand: what it holds is known only when it has been read. */
export interface BareBundle {
  readonly key: string;
  /** Differs whenever the object does. */
  readonly stamp: string;
  /** In bytes. */
  readonly size: number;
  readonly modifiedMs: number;
}

/** Hears how many of a bundle's bytes have been handed to the connection. */
export type Progress = (sentBytes: number, totalBytes: number) => void;

/** The bundles of the lambdas in a bucket. */
export class Blobs {
  readonly #objects: ObjectAccess;

  constructor(objects: ObjectAccess) {
    this.#objects = objects;
  }

  /** Whether there is one of that size. */
  async has({ name, digest, size }: Omit<BundleFile, "file">, signal: AbortSignal): Promise<boolean> {
    const head = await this.#objects.head(blobKey(name, digest), `look for a bundle of ${name}`, signal);
    return head !== undefined && head.size === size;
  }

  async exists(name: string, digest: string, signal: AbortSignal): Promise<boolean> {
    const head = await this.#objects.head(blobKey(name, digest), `look for a bundle of ${name}`, signal);
    return head !== undefined;
  }

  /** Writes it, whether or not it is there: to a store that collects garbage it is new then. */
  async put(bundle: BundleFile, progress: Progress | undefined, signal: AbortSignal): Promise<void> {
    await assertSize(bundle);
    const doing = `send the bundle of ${bundle.name}`;
    await this.#objects.put(blobKey(bundle.name, bundle.digest), contentOfFile(bundle, progress), doing, {
      signal,
    });
  }

  /**
   * The bytes of a version; reading fails with OL_REGISTRY_CLIENT_BAD_DIGEST at their end if they are others, and with this
   * package's errors if the connection does. Fails with OL_REGISTRY_CLIENT_NO_VERSION if there is no such version.
   */
  async read(name: string, digest: string, signal: AbortSignal): Promise<{ size: number; body: Readable }> {
    const doing = `get the bundle of ${name}`;
    const found = await this.#objects.stream(blobKey(name, digest), doing, { signal });
    if (found === undefined)
      throw registryClientError(
        "OL_REGISTRY_CLIENT_NO_VERSION",
        `the registry has no version sha256:${digest} of ${name}`,
      );
    const body = Readable.from(this.#checked(found.body, found.head.size, doing, digest, signal), {
      objectMode: false,
    });
    return { size: found.head.size, body };
  }

  /** The one that counts where there is no tag; "unchanged" if its stamp still is `known`'s. */
  async bare(name: string, signal: AbortSignal): Promise<BareBundle | undefined> {
    for (const key of bareKeys(name)) {
      const head = await this.#objects.head(key, `look for the bundle ${key}`, signal);
      if (head !== undefined) return { key, stamp: head.etag, size: head.size, modifiedMs: head.modifiedMs };
    }
    return undefined;
  }

  /** Its bytes; undefined if it was replaced or removed since. */
  async readBare({ key, stamp }: BareBundle, signal: AbortSignal): Promise<Readable | undefined> {
    const doing = `get the bundle ${key}`;
    const found = await this.#objects.stream(key, doing, { signal });
    if (found === undefined) return undefined;
    if (found.head.etag !== stamp) {
      found.body.destroy();
      return undefined;
    }
    return Readable.from(this.#checked(found.body, found.head.size, doing, undefined, signal), {
      objectMode: false,
    });
  }

  async *#checked(
    body: Readable,
    size: number,
    doing: string,
    digest: string | undefined,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array> {
    const hash = createHash("sha256");
    let bytes = 0;
    try {
      for await (const chunk of body as AsyncIterable<Buffer>) {
        hash.update(chunk);
        bytes += chunk.length;
        yield chunk;
      }
    } catch (error) {
      throw failureOf(this.#objects.connection, doing, error, signal);
    }
    if (digest !== undefined && hash.digest("hex") !== digest)
      throw registryClientError(
        "OL_REGISTRY_CLIENT_BAD_DIGEST",
        `could not ${doing}: the ${bytes} of ${size} bytes that came are not those of sha256:${digest}; upload it again`,
      );
  }
}

const badFile = (file: string, why: string, cause?: unknown): Error =>
  registryClientError("OL_REGISTRY_CLIENT_BAD_FILE", `the bundle ${file} ${why}`, { cause });

const assertSize = async ({ file, size }: BundleFile): Promise<void> => {
  let found;
  try {
    found = await stat(file);
  } catch (error) {
    throw badFile(file, `cannot be read: ${systemReason(error)}`, error);
  }
  if (found.size !== size) throw badFile(file, `has ${found.size} bytes now, and had ${size}`);
};

const contentOfFile = (bundle: BundleFile, progress: Progress | undefined): Content => ({
  size: bundle.size,
  sha256: bundle.digest,
  make: () => Readable.from(bytesOf(bundle, progress), { objectMode: false }),
  type: "application/gzip",
});

async function* bytesOf({ file, size }: BundleFile, progress: Progress | undefined): AsyncGenerator<Buffer> {
  let sent = 0;
  try {
    for await (const chunk of createReadStream(file) as AsyncIterable<Buffer>) {
      sent += chunk.length;
      if (sent > size) break;
      yield chunk;
      progress?.(sent, size);
    }
  } catch (error) {
    throw badFile(file, `cannot be read: ${systemReason(error)}`, error);
  }
  // The store waits for as many bytes as were announced.
  if (sent !== size) throw badFile(file, "changed while it was sent");
}
