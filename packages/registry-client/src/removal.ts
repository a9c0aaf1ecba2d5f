import { registryClientError } from "./errors.ts";
import { type LambdaObjects, objectsOf } from "./inventory.ts";
import { bareKeys, blobKey, trashKey } from "./layout.ts";
import type { ObjectAccess } from "./object-access.ts";
import { inParallel } from "./parallel.ts";
import { forgotten } from "./tag-record.ts";
import type { Tags, TagState } from "./tags.ts";

/** What to remove: one tag, one version, or, with neither, everything the lambda has. */
export interface RemoveRequest {
  readonly name: string;
  readonly tag?: string;
  readonly digest?: string;
}

export interface RemoveResult {
  /** Of tags, bundles and locks. */
  readonly objects: number;
  /** In bytes, of the bundles. */
  readonly bytes: number;
}

/** The digests that a lambda's tags name. */
export const namedBy = (states: ReadonlyMap<string, TagState>): ReadonlySet<string> =>
  new Set(
    [...states.values()].flatMap(({ record }) => [
      record.digest,
      ...record.history.map(({ digest }) => digest),
    ]),
  );

/** Removes things in an order in which no tag ever points at nothing: first what points, then what is pointed at. */
export class Removal {
  readonly #objects: ObjectAccess;
  readonly #tags: Tags;

  constructor(objects: ObjectAccess, tags: Tags) {
    this.#objects = objects;
    this.#tags = tags;
  }

  async run({ name, tag, digest }: RemoveRequest, signal: AbortSignal): Promise<RemoveResult> {
    if (tag !== undefined) return await this.#removeTag(name, tag, signal);
    return await (digest === undefined
      ? this.#removeAll(name, signal)
      : this.#removeVersion(name, digest, signal));
  }

  /**
   * Removes those of the digests' bundles and locks that no tag names, and that `may` lets go. Between a look at the tags and
   * a removal somebody may point one there: so the bundles are set aside, and come back if a tag names them then. Whoever points
   * a tag later looks whether its bundle is there.
   */
  async sweep(
    name: string,
    there: LambdaObjects,
    digests: Iterable<string>,
    may: (digest: string) => Promise<boolean>,
    signal: AbortSignal,
  ): Promise<RemoveResult> {
    const named = namedBy(await this.#tags.all(name, signal));
    let objects = 0;
    let bytes = 0;
    const unnamed = [...new Set(digests)].filter((digest) => !named.has(digest));
    const aside: string[] = [];
    await inParallel(unnamed, async (digest) => {
      if (!(await may(digest))) return;
      const blob = there.blobs.get(digest);
      if (blob !== undefined) {
        await this.#objects.copy(
          blob.key,
          trashKey(name, digest),
          `set the object ${blob.key} aside`,
          signal,
        );
        aside.push(digest);
        await this.#delete(blob.key, signal);
      }
      const locks = there.locks.filter((lock) => lock.digest === digest);
      for (const { object } of locks) await this.#delete(object.key, signal);
      objects += locks.length + (blob === undefined ? 0 : 1);
      bytes += blob?.size ?? 0;
    });
    await this.restoreNamed(name, aside, signal);
    return { objects, bytes };
  }

  /** Brings back what was set aside and a tag names, and removes it there. */
  async restoreNamed(name: string, aside: readonly string[], signal: AbortSignal): Promise<void> {
    if (aside.length === 0) return;
    const named = namedBy(await this.#tags.all(name, signal));
    await inParallel(aside, async (digest) => {
      const trash = trashKey(name, digest);
      if (named.has(digest))
        await this.#objects.copy(trash, blobKey(name, digest), `bring the object ${trash} back`, signal);
      await this.#delete(trash, signal);
    });
  }

  async #removeTag(name: string, tag: string, signal: AbortSignal): Promise<RemoveResult> {
    if (!(await this.#tags.has(name, tag, signal)))
      throw registryClientError("OL_REGISTRY_CLIENT_UNKNOWN", `the registry has no ${name}@${tag}`);
    await this.#tags.delete(name, tag, signal);
    return { objects: 1, bytes: 0 };
  }

  async #removeVersion(name: string, digest: string, signal: AbortSignal): Promise<RemoveResult> {
    const there = await objectsOf(this.#objects, name, signal);
    const states = await this.#tags.all(name, signal);
    const pointing = [...states].filter(([, { record }]) => record.digest === digest).map(([tag]) => tag);
    if (pointing.length > 0)
      throw registryClientError(
        "OL_REGISTRY_CLIENT_IN_USE",
        `${name}@sha256:${digest} is what ${pointing.toSorted().join(" and ")} points at; roll back or remove that first`,
        { details: { tags: pointing } },
      );
    if (!there.blobs.has(digest) && !namedBy(states).has(digest))
      throw registryClientError(
        "OL_REGISTRY_CLIENT_NO_VERSION",
        `the registry has no version sha256:${digest} of ${name}`,
      );
    for (const tag of states.keys())
      await this.#tags.update(
        name,
        tag,
        (record) => (record === undefined ? undefined : forgotten(record, digest)),
        signal,
      );
    return await this.sweep(name, there, [digest], always, signal);
  }

  async #removeAll(name: string, signal: AbortSignal): Promise<RemoveResult> {
    const bare = await this.#bareOf(name, signal);
    const there = await objectsOf(this.#objects, name, signal);
    const tags = [...there.tags.keys()];
    if (tags.length + bare.length + there.blobs.size + there.locks.length === 0)
      throw registryClientError("OL_REGISTRY_CLIENT_UNKNOWN", `the registry has no lambda ${name}`);
    // Also those that cannot be read.
    for (const tag of tags) await this.#tags.delete(name, tag, signal);
    for (const key of bare) await this.#delete(key, signal);
    const digests = [...there.blobs.keys(), ...there.locks.map(({ digest }) => digest)];
    const swept = await this.sweep(name, there, digests, always, signal);
    return { objects: swept.objects + tags.length + bare.length, bytes: swept.bytes };
  }

  async #bareOf(name: string, signal: AbortSignal): Promise<readonly string[]> {
    const keys: string[] = [];
    for (const key of bareKeys(name))
      if ((await this.#objects.head(key, `look for the bundle ${key}`, signal)) !== undefined) keys.push(key);
    return keys;
  }

  #delete(key: string, signal: AbortSignal): Promise<void> {
    return this.#objects.delete(key, `remove the object ${key}`, signal);
  }
}

const always = (): Promise<boolean> => Promise.resolve(true);
