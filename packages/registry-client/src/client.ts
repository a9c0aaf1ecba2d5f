import type { Readable } from "node:stream";

import { type BareBundle, Blobs } from "./blobs.ts";
import { registryClientError } from "./errors.ts";
import { Garbage, type GarbageRequest, type GarbageResult } from "./garbage.ts";
import { allObjects, objectsOf } from "./inventory.ts";
import { LATEST, lockKey } from "./layout.ts";
import { MinInstances } from "./min-instances.ts";
import { ObjectAccess } from "./object-access.ts";
import { contentOf } from "./store-requests.ts";
import { type Connection, connectionOf, type RegistryClientOptions } from "./options.ts";
import { inParallel } from "./parallel.ts";
import { type Abilities, probeStore } from "./probe.ts";
import { publish, type UploadOptions, type UploadRequest, type UploadResult } from "./publishing.ts";
import { Removal, type RemoveRequest, type RemoveResult } from "./removal.ts";
import type { TagRecord, VersionEntry } from "./tag-record.ts";
import { Tags, type TagState } from "./tags.ts";
import { rollBack, type RollbackRequest, type RollbackResult, type Version, versionsOf } from "./versions.ts";

/** One lambda of the store. */
export interface ListedLambda {
  readonly name: string;
  /** What each tag points at. */
  readonly tags: readonly (VersionEntry & { readonly tag: string })[];
  /** How many bundles it has. */
  readonly versions: number;
  /** In bytes, of all its bundles. */
  readonly bytes: number;
  /** The object that somebody put there by hand and that counts as `latest`; absent if there is a tag, or none. */
  readonly bare?: string;
  /** Tags whose objects hold no tag's record; absent if there are none. */
  readonly unreadable?: readonly string[];
}

/** Which lock is meant. */
export interface LockName {
  readonly name: string;
  /** Of the version that it belongs to. */
  readonly digest: string;
  /** Such as `3.11`. */
  readonly python: string;
  /** Such as `x86_64`. */
  readonly machine: string;
}

/** Longer than any lock @ol/bundle reads. */
const MAX_LOCK_BYTES = 4 * 1024 * 1024;

/**
 * What OpenLambda keeps in a bucket of an S3 store, whichever that is. Names, tags and digests are ones that the caller has
 * checked (@ol/bundle does). Every method takes a signal, whose reason it then fails with, and fails otherwise with the
 * errors of errors.ts only.
 */
export class RegistryClient implements AsyncDisposable {
  readonly #objects: ObjectAccess;
  readonly #tags: Tags;
  readonly #blobs: Blobs;
  readonly #minInstances: MinInstances;
  readonly #removal: Removal;
  readonly #connection: Connection;
  #abilities: Abilities | undefined;

  /** Connects to nothing yet. Fails with OL_REGISTRY_CLIENT_BAD_OPTION. */
  static create(options: RegistryClientOptions): RegistryClient {
    return new RegistryClient(connectionOf(options));
  }

  private constructor(connection: Connection) {
    this.#connection = connection;
    this.#objects = new ObjectAccess(connection);
    this.#tags = new Tags(this.#objects);
    this.#blobs = new Blobs(this.#objects);
    this.#minInstances = new MinInstances(this.#objects, this.#tags);
    this.#removal = new Removal(this.#objects, this.#tags);
  }

  /** Scheme, host and port, fit for messages. */
  get address(): string {
    return this.#connection.address;
  }

  get bucket(): string {
    return this.#connection.bucket;
  }

  /** Makes the bucket if it is not there, and finds out what the store can do. Needs keys that may write. */
  async probe(signal: AbortSignal): Promise<Abilities> {
    await this.#objects.ensureBucket(signal);
    this.#abilities = await probeStore(this.#objects, signal);
    return this.#abilities;
  }

  /** Settles if the store answers, takes the keys, and has the bucket; for keys that may only read. */
  async check(signal: AbortSignal): Promise<void> {
    for await (const _ of this.#objects.list(".ol-check/", "ask the registry", signal)) return;
  }

  /** Sends a bundle, unless it is there, and points tags at it. */
  async upload(request: UploadRequest, options: UploadOptions): Promise<UploadResult> {
    const { signal } = options;
    const result = await publish(
      {
        tags: this.#tags,
        blobs: this.#blobs,
        conditionalWrites: async () =>
          (this.#abilities ??= await probeStore(this.#objects, signal)).conditionalWrites,
        logger: this.#connection.logger,
      },
      request,
      options,
    );
    if (request.keep !== undefined && result.forgotten.length > 0)
      await this.#sweep(request.name, result.forgotten, signal);
    return result;
  }

  /** Where a tag points; undefined if there is none, "unchanged" if its stamp is still `known`. One request. */
  tag(
    name: string,
    tag: string,
    options: { readonly known?: string | undefined; readonly signal: AbortSignal },
  ): Promise<TagState | "unchanged" | undefined> {
    return this.#tags.read(name, tag, options);
  }

  /** Every tag of a lambda. */
  async tags(name: string, signal: AbortSignal): Promise<ReadonlyMap<string, TagRecord>> {
    const states = await this.#tags.all(name, signal);
    return new Map([...states].map(([tag, { record }]) => [tag, record]));
  }

  /** Every signature of a version that a tag has; they may be of several keys. */
  async signatures(name: string, digest: string, signal: AbortSignal): Promise<readonly string[]> {
    const { states } = await this.#tags.survey(name, signal);
    const entries = [...states.values()].flatMap(({ record }) => [record, ...record.history]);
    const found = entries.flatMap((entry) => (entry.digest === digest ? (entry.signature ?? []) : []));
    return [...new Set(found)];
  }

  /** Whether the lambda has that version. */
  hasVersion(name: string, digest: string, signal: AbortSignal): Promise<boolean> {
    return this.#blobs.exists(name, digest, signal);
  }

  /** The lambdas whose newest version asks for `min_instances`, and how many. */
  minInstances(signal: AbortSignal): Promise<ReadonlyMap<string, number>> {
    return this.#minInstances.read(signal);
  }

  /** Every lambda, by name. */
  async list(signal: AbortSignal): Promise<readonly ListedLambda[]> {
    const found = [...(await allObjects(this.#objects, signal))];
    const listed = await inParallel(found, async ([name, there]): Promise<ListedLambda> => {
      const { states, unreadable } = await this.#tags.surveyOf(name, [...there.tags.keys()], signal);
      const tags = [...states].map(([tag, { record }]) => {
        const { history: _, ...entry } = record;
        return { ...entry, tag };
      });
      const [bare] = there.bare;
      return {
        name,
        tags,
        versions: there.blobs.size,
        bytes: [...there.blobs.values()].reduce((sum, { size }) => sum + size, 0),
        ...(bare !== undefined && !there.tags.has(LATEST) && { bare: bare.key }),
        ...(unreadable.length > 0 && { unreadable }),
      };
    });
    return listed
      .filter(
        ({ tags, versions, bare, unreadable }) =>
          tags.length > 0 || versions > 0 || bare !== undefined || unreadable !== undefined,
      )
      .toSorted((one, other) => (one.name < other.name ? -1 : 1));
  }

  /** Every version of a lambda, newest first. Fails with OL_REGISTRY_CLIENT_UNKNOWN if it has none. */
  async versions(name: string, signal: AbortSignal): Promise<readonly Version[]> {
    const [there, states] = await Promise.all([
      objectsOf(this.#objects, name, signal),
      this.#tags.all(name, signal),
    ]);
    const versions = versionsOf(there, states);
    if (versions.length === 0)
      throw registryClientError("OL_REGISTRY_CLIENT_UNKNOWN", `the registry has no version of ${name}`);
    return versions;
  }

  /** Points a tag at an older version. */
  rollback(request: RollbackRequest, signal: AbortSignal): Promise<RollbackResult> {
    return rollBack(this.#tags, this.#blobs, () => this.versions(request.name, signal), request, signal);
  }

  remove(request: RemoveRequest, signal: AbortSignal): Promise<RemoveResult> {
    return this.#removal.run(request, signal);
  }

  /** Removes bundles and locks that no tag names. */
  gc(request: GarbageRequest, signal: AbortSignal): Promise<GarbageResult> {
    return new Garbage(this.#objects, this.#tags, this.#removal).run(request, signal);
  }

  /** The bytes of a version, checked while they are read: their end fails with OL_REGISTRY_CLIENT_BAD_DIGEST if they are others. */
  async download(name: string, digest: string, signal: AbortSignal): Promise<Readable> {
    return (await this.#blobs.read(name, digest, signal)).body;
  }

  /** The bundle that somebody put there by hand; it counts if there is no tag `latest`. */
  bare(name: string, signal: AbortSignal): Promise<BareBundle | undefined> {
    return this.#blobs.bare(name, signal);
  }

  /** Undefined if it is no longer that one. */
  downloadBare(bare: BareBundle, signal: AbortSignal): Promise<Readable | undefined> {
    return this.#blobs.readBare(bare, signal);
  }

  /** The text of a lock; undefined if there is none. */
  async readLock(
    { name, digest, python, machine }: LockName,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    const found = await this.#objects.get(lockKey(name, digest, python, machine), `read a lock of ${name}`, {
      maxBytes: MAX_LOCK_BYTES,
      signal,
    });
    return typeof found === "object" ? found.body.toString("utf8") : undefined;
  }

  /** Writes a lock if there is none; returns the one that counts. */
  async writeLock(lock: LockName, text: string, signal: AbortSignal): Promise<string> {
    const { name, digest, python, machine } = lock;
    const there = await this.readLock(lock, signal);
    if (there !== undefined) return there;
    const written = await this.#objects.put(
      lockKey(name, digest, python, machine),
      contentOf(Buffer.from(text), "text/plain; charset=utf-8"),
      `write a lock of ${name}`,
      { condition: { none: true }, signal },
    );
    return written ? text : ((await this.readLock(lock, signal)) ?? text);
  }

  /** Ends the connections that wait for the next request. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#objects.close();
    return Promise.resolve();
  }

  async #sweep(name: string, digests: readonly string[], signal: AbortSignal): Promise<void> {
    const there = await objectsOf(this.#objects, name, signal);
    await this.#removal.sweep(name, there, digests, () => Promise.resolve(true), signal);
  }
}
