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

/** A tag's object as it is; without a record if it holds none, which anybody with another S3 client can bring about. */
interface TagObject extends Pick<TagState, "stamp"> {
  readonly record: TagRecord | undefined;
}

/** The tags of one lambda. */
export interface TagSurvey {
  readonly states: ReadonlyMap<string, TagState>;
  /** Those whose objects hold no record. */
  readonly unreadable: readonly string[];
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
    const found = await this.#look(name, tag, options);
    if (found === undefined || found === "unchanged") return found;
    const { record, stamp } = found;
    if (record === undefined) throw unreadable(name, tag);
    return { record, stamp };
  }

  /** Every tag of a lambda. Fails with OL_REGISTRY_CLIENT_BAD_ANSWER if one cannot be read. */
  async all(name: string, signal: AbortSignal): Promise<ReadonlyMap<string, TagState>> {
    const { states, unreadable: bad } = await this.survey(name, signal);
    for (const tag of bad) throw unreadable(name, tag);
    return states;
  }

  /** The same where one that cannot be read must not be in the way of the others. */
  async survey(name: string, signal: AbortSignal): Promise<TagSurvey> {
    const prefix = tagPrefix(name);
    const tags: string[] = [];
    for await (const { key } of this.#objects.list(prefix, `list the tags of ${name}`, signal)) {
      const tag = key.slice(prefix.length);
      if (tag.endsWith(".json") && !tag.includes("/")) tags.push(tag.slice(0, -".json".length));
    }
    return await this.surveyOf(name, tags, signal);
  }

  /** Of tags that a listing showed; one that was removed since is none. */
  async surveyOf(name: string, tags: readonly string[], signal: AbortSignal): Promise<TagSurvey> {
    const states = new Map<string, TagState>();
    const bad: string[] = [];
    const found = await inParallel(tags, (tag) => this.#look(name, tag, { signal }));
    for (const [index, tag] of tags.entries()) {
      const object = found[index];
      if (typeof object !== "object") continue;
      const { record, stamp } = object;
      if (record === undefined) bad.push(tag);
      else states.set(tag, { record, stamp });
    }
    return { states, unreadable: bad };
  }

  /** Whether there is one, sound or not. */
  async has(name: string, tag: string, signal: AbortSignal): Promise<boolean> {
    return (await this.#look(name, tag, { signal })) !== undefined;
  }

  /**
   * Reads, changes and writes a record, again if somebody else wrote it in between; a store that ignores conditions takes
   * the last one's. What is no record counts as none, and is replaced. Returns what it was and is. Fails with
   * OL_REGISTRY_CLIENT_BUSY, OL_REGISTRY_CLIENT_BAD_ANSWER, and with what `change` throws.
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
      const state = await this.#lookAny(name, tag, signal);
      // The answer to a write may be lost, and the write repeated: then what is there is ours.
      if (tried !== undefined && state?.record !== undefined && tried.equals(formatTagRecord(state.record)))
        return { before: first, after: state.record };
      const before = state?.record;
      const after = change(before);
      if (after === undefined || after === before) return { before, after: before };
      tried = formatTagRecord(after);
      if (tried.length > MAX_RECORD_BYTES) throw tooLong(name, tag);
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

  async #look(
    name: string,
    tag: string,
    options: { readonly known?: string | undefined; readonly signal: AbortSignal },
  ): Promise<TagObject | "unchanged" | undefined> {
    const found = await this.#objects.get(tagKey(name, tag), `read the tag ${tag} of ${name}`, {
      ...options,
      maxBytes: MAX_RECORD_BYTES,
    });
    if (found === undefined || found === "unchanged") return found;
    const record = parseTagRecord(found.body);
    // All states would look the same: no change would ever be seen.
    if (record !== undefined && found.etag === "")
      throw registryClientError(
        "OL_REGISTRY_CLIENT_BAD_ANSWER",
        `could not read the tag ${tag} of ${name}: the registry sent it without an ETag; does a proxy take that away?`,
      );
    return { record, stamp: found.etag };
  }

  async #lookAny(name: string, tag: string, signal: AbortSignal): Promise<TagObject | undefined> {
    const object = await this.#look(name, tag, { signal });
    return typeof object === "object" ? object : undefined;
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

const unreadable = (name: string, tag: string): Error =>
  registryClientError(
    "OL_REGISTRY_CLIENT_BAD_ANSWER",
    `could not read the tag ${tag} of ${name}: the object ${tagKey(name, tag)} in the registry is no tag; upload the lambda with that tag again, or remove ${name}@${tag}`,
  );

const tooLong = (name: string, tag: string): Error =>
  registryClientError(
    "OL_REGISTRY_CLIENT_BAD_ANSWER",
    `could not change the tag ${tag} of ${name}: it has grown beyond ${MAX_RECORD_BYTES} bytes by what others wrote into it; remove ${name}@${tag}, and upload the lambda again`,
  );
