import { setTimeout as sleep } from "node:timers/promises";

import { registryClientError } from "./errors.ts";
import { tagKey, tagPrefix } from "./layout.ts";
import type { Condition, ObjectAccess } from "./object-access.ts";
import { contentOf } from "./store-requests.ts";
import { inParallel } from "./parallel.ts";
import { formatTagRecord, MAX_RECORD_BYTES, parseTagRecord, type TagRecord } from "./tag-record.ts";

/** A tag's record as it was at one moment. */
export interface TagState {
  readonly record: TagRecord;
  /** Differs whenever the record does. */
  readonly stamp: string;
}

/** What a record is to become; undefined leaves it as it is. May throw to refuse. */
export type Change = (record: TagRecord | undefined) => TagRecord | undefined;

/** With so many others at the same tag at the same moment, something else is wrong. */
const TRIES = 20;
const MAX_PAUSE_MS = 200;

/** The tags of the lambdas in a bucket. */
export class Tags {
  readonly #objects: ObjectAccess;

  constructor(objects: ObjectAccess) {
    this.#objects = objects;
  }

  /** Undefined if there is no such tag; "unchanged" if its stamp still is `known`. One request. */
  async read(
    name: string,
    tag: string,
    options: { readonly known?: string | undefined; readonly signal: AbortSignal },
  ): Promise<TagState | "unchanged" | undefined> {
    const key = tagKey(name, tag);
    const found = await this.#objects.get(key, `read the tag ${tag} of ${name}`, {
      ...options,
      maxBytes: MAX_RECORD_BYTES,
    });
    if (found === undefined || found === "unchanged") return found;
    const record = parseTagRecord(found.body);
    if (record === undefined)
      throw registryClientError(
        "OL_REGISTRY_CLIENT_BAD_ANSWER",
        `could not read the tag ${tag} of ${name}: the object ${key} in the registry is no tag; upload the lambda again`,
      );
    // All states would look the same: no change would ever be seen.
    if (found.etag === "")
      throw registryClientError(
        "OL_REGISTRY_CLIENT_BAD_ANSWER",
        `could not read the tag ${tag} of ${name}: the registry sent it without an ETag; does a proxy take that away?`,
      );
    return { record, stamp: found.etag };
  }

  /** Every tag of a lambda. */
  async all(name: string, signal: AbortSignal): Promise<ReadonlyMap<string, TagState>> {
    const prefix = tagPrefix(name);
    const tags: string[] = [];
    for await (const { key } of this.#objects.list(prefix, `list the tags of ${name}`, signal)) {
      const tag = key.slice(prefix.length);
      if (tag.endsWith(".json") && !tag.includes("/")) tags.push(tag.slice(0, -".json".length));
    }
    const states = await inParallel(tags, (tag) => this.read(name, tag, { signal }));
    return new Map(
      tags.flatMap((tag, index) => {
        const state = states[index];
        // One that was removed between the two requests is none.
        return typeof state === "object" ? [[tag, state] as const] : [];
      }),
    );
  }

  /**
   * Reads, changes and writes a record, again if somebody else wrote it in between; a store that ignores conditions takes
   * the last one's. Returns what it was and is. Fails with OL_REGISTRY_CLIENT_BUSY, and with what `change` throws.
   */
  async update(
    name: string,
    tag: string,
    change: Change,
    signal: AbortSignal,
  ): Promise<{ readonly before: TagRecord | undefined; readonly after: TagRecord | undefined }> {
    let tried: Buffer | undefined;
    let first: TagRecord | undefined;
    for (let left = TRIES; left > 0; left -= 1) {
      const state = await this.#readAny(name, tag, signal);
      // The answer to a write may be lost, and the write repeated: then what is there is ours.
      if (tried !== undefined && state !== undefined && tried.equals(formatTagRecord(state.record)))
        return { before: first, after: state.record };
      const before = state?.record;
      const after = change(before);
      if (after === undefined || after === before) return { before, after: before };
      tried = formatTagRecord(after);
      first = before;
      const condition = state === undefined ? ({ none: true } as const) : { etag: state.stamp };
      if (await this.#write(name, tag, tried, condition, signal)) return { before, after };
      await sleep(Math.random() * MAX_PAUSE_MS, undefined, { signal });
    }
    throw registryClientError(
      "OL_REGISTRY_CLIENT_BUSY",
      `could not change the tag ${tag} of ${name}: others kept changing it at the same time; try again`,
    );
  }

  delete(name: string, tag: string, signal: AbortSignal): Promise<void> {
    return this.#objects.delete(tagKey(name, tag), `remove the tag ${tag} of ${name}`, signal);
  }

  async #readAny(name: string, tag: string, signal: AbortSignal): Promise<TagState | undefined> {
    const state = await this.read(name, tag, { signal });
    return typeof state === "object" ? state : undefined;
  }

  #write(
    name: string,
    tag: string,
    bytes: Buffer,
    condition: Condition,
    signal: AbortSignal,
  ): Promise<boolean> {
    return this.#objects.put(
      tagKey(name, tag),
      contentOf(bytes, "application/json"),
      `write the tag ${tag} of ${name}`,
      { condition, signal },
    );
  }
}
