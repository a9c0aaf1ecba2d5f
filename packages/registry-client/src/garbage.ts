import { allObjects, type LambdaObjects } from "./inventory.ts";
import { blobKey } from "./layout.ts";
import type { ObjectAccess } from "./object-access.ts";
import { namedBy, type Removal } from "./removal.ts";
import { trimmed } from "./tag-record.ts";
import type { Tags, TagState } from "./tags.ts";

export interface GarbageRequest {
  /** How many versions each tag remembers from now on, the current one counted; default: all that it does. */
  readonly keep?: number;
  /** Bundles that were sent less long ago are left alone: what is to point at them may be on its way. Default: an hour. */
  readonly olderThanMs?: number;
  /** Only says what would be removed. */
  readonly dryRun?: boolean;
}

/** What is removed of one lambda. */
export interface LambdaGarbage {
  readonly name: string;
  /** The digests of the bundles. */
  readonly versions: readonly string[];
  /** How many locks. */
  readonly locks: number;
  /** In bytes, of the bundles. */
  readonly bytes: number;
}

export interface GarbageResult {
  /** Lambdas of which nothing was removed, since a tag that cannot be read may name anything of theirs. */
  readonly skipped: readonly string[];
  readonly lambdas: readonly LambdaGarbage[];
  readonly objects: number;
  readonly bytes: number;
}

const HOUR_MS = 3_600_000;

/** Finds and removes what no tag names. */
export class Garbage {
  readonly #objects: ObjectAccess;
  readonly #tags: Tags;
  readonly #removal: Removal;

  constructor(objects: ObjectAccess, tags: Tags, removal: Removal) {
    this.#objects = objects;
    this.#tags = tags;
    this.#removal = removal;
  }

  async run(request: GarbageRequest, signal: AbortSignal): Promise<GarbageResult> {
    const lambdas: LambdaGarbage[] = [];
    const skipped: string[] = [];
    let objects = 0;
    let bytes = 0;
    for (const [name, there] of await allObjects(this.#objects, signal)) {
      const { unreadable } = await this.#tags.surveyOf(name, [...there.tags.keys()], signal);
      if (unreadable.length > 0) {
        skipped.push(name);
        continue;
      }
      const found = await this.#of(name, there, request, signal);
      if (found.versions.length === 0 && found.locks === 0) continue;
      lambdas.push(found);
      objects += found.versions.length + found.locks;
      bytes += found.bytes;
    }
    return { lambdas, skipped, objects, bytes };
  }

  async #of(
    name: string,
    there: LambdaObjects,
    request: GarbageRequest,
    signal: AbortSignal,
  ): Promise<LambdaGarbage> {
    const { olderThanMs = HOUR_MS, dryRun = false } = request;
    const named = namedBy(await this.#trimmed(name, request, signal));
    const isOld = (key: string): Promise<boolean> => this.#isOld(name, key, olderThanMs, signal);
    const isOldBlob = (digest: string): Promise<boolean> => isOld(blobKey(name, digest));
    const versions: string[] = [];
    for (const digest of there.blobs.keys())
      if (!named.has(digest) && (await isOldBlob(digest))) versions.push(digest);
    const gone = new Set(versions);
    const locks = there.locks.filter(
      ({ digest }) => !named.has(digest) && (gone.has(digest) || !there.blobs.has(digest)),
    );
    if (!dryRun) {
      // Of somebody who was interrupted, unless he is at it at this moment.
      const aside: string[] = [];
      for (const [digest, { key }] of there.trash) if (await isOld(key)) aside.push(digest);
      await this.#removal.restoreNamed(name, aside, signal);
      await this.#removal.sweep(
        name,
        there,
        [...versions, ...locks.map(({ digest }) => digest)],
        isOldBlob,
        signal,
      );
    }
    const bytes = versions.reduce((sum, digest) => sum + (there.blobs.get(digest)?.size ?? 0), 0);
    return { name, versions, locks: locks.length, bytes };
  }

  /** The tags as they are to be, and are unless this is a dry run. */
  async #trimmed(
    name: string,
    { keep, dryRun }: GarbageRequest,
    signal: AbortSignal,
  ): Promise<ReadonlyMap<string, TagState>> {
    const states = await this.#tags.all(name, signal);
    if (keep === undefined) return states;
    const next = new Map<string, TagState>();
    for (const [tag, state] of states) {
      const change = dryRun !== true;
      const { after } = change
        ? await this.#tags.update(
            name,
            tag,
            (record) => (record === undefined ? undefined : trimmed(record, keep)),
            signal,
          )
        : { after: trimmed(state.record, keep) };
      if (after !== undefined) next.set(tag, { ...state, record: after });
    }
    return next;
  }

  /** By the store's own clock, and as it is now: whoever sends a bundle again makes it new. */
  async #isOld(name: string, key: string, olderThanMs: number, signal: AbortSignal): Promise<boolean> {
    const head = await this.#objects.head(key, `look at a bundle of ${name}`, signal);
    if (head === undefined) return true;
    // Both times are whole seconds, and not rounded alike.
    return Math.max(0, (head.nowMs ?? Date.now()) - head.modifiedMs) >= olderThanMs;
  }
}
