import { setTimeout as sleep } from "node:timers/promises";

import type { Blobs } from "./blobs.ts";
import { registryClientError } from "./errors.ts";
import type { LambdaObjects } from "./inventory.ts";
import { isDigest, LATEST } from "./layout.ts";
import { entryOf, rolledBack, type TagRecord, type VersionEntry } from "./tag-record.ts";
import type { Tags, TagState } from "./tags.ts";

/** One version of a lambda, as the store knows it. */
export interface Version {
  readonly digest: string;
  /** In bytes. */
  readonly size: number;
  /** When a tag last began to point at it, else when it was sent; in ISO 8601. */
  readonly time: string;
  /** The tags that point at it. */
  readonly tags: readonly string[];
  /** The tags that remember it, and can be rolled back to it by name alone. */
  readonly rememberedBy: readonly string[];
  readonly signature?: string;
  readonly minInstances?: number;
  /** A tag names it, and its bundle is not there. */
  readonly missing: boolean;
}

interface Collected {
  entry: VersionEntry;
  readonly tags: string[];
  readonly rememberedBy: string[];
}

const isNewer = (one: VersionEntry, other: VersionEntry): boolean =>
  Date.parse(one.time) > Date.parse(other.time);

/** Every version that a tag names or that has a bundle, newest first. */
export const versionsOf = (
  { blobs }: Pick<LambdaObjects, "blobs">,
  states: ReadonlyMap<string, TagState>,
): readonly Version[] => {
  const found = new Map<string, Collected>();
  const note = (entry: VersionEntry): Collected => {
    const known = found.get(entry.digest);
    if (known === undefined) {
      const fresh = { entry, tags: [], rememberedBy: [] };
      found.set(entry.digest, fresh);
      return fresh;
    }
    if (isNewer(entry, known.entry)) known.entry = { ...known.entry, ...entry };
    return known;
  };
  for (const [tag, { record }] of states) {
    note(record).tags.push(tag);
    for (const entry of record.history) note(entry).rememberedBy.push(tag);
  }
  for (const [digest, { size, modifiedMs }] of blobs)
    if (!found.has(digest)) note({ digest, size, time: new Date(modifiedMs).toISOString() });
  return [...found.values()]
    .toSorted((one, other) => Date.parse(other.entry.time) - Date.parse(one.entry.time))
    .map(({ entry, tags, rememberedBy }) => ({
      ...entryOf(entry),
      tags: tags.toSorted(),
      rememberedBy: rememberedBy.toSorted(),
      missing: !blobs.has(entry.digest),
    }));
};

export interface RollbackRequest {
  readonly name: string;
  /** A digest with or without `sha256:`, its beginning (8 digits at least), or a tag; default: the version before. */
  readonly to?: string;
  /** What is moved; default: `latest`. */
  readonly tag?: string;
}

export interface RollbackResult {
  /** The digest that the tag points at now. */
  readonly digest: string;
  /** And before. */
  readonly previous: string;
}

const LOOKS = 10;
const LOOK_MS = 500;

const noVersion = (message: string): Error => registryClientError("OL_REGISTRY_CLIENT_NO_VERSION", message);

/** Points a tag at an older version: one small write, nothing is copied. */
export const rollBack = async (
  tags: Tags,
  blobs: Blobs,
  versions: () => Promise<readonly Version[]>,
  { name, to, tag = LATEST }: RollbackRequest,
  signal: AbortSignal,
): Promise<RollbackResult> => {
  const target = to === undefined ? undefined : chosen(name, to, await versions());
  const time = new Date().toISOString();
  const next = (record: TagRecord): TagRecord => {
    const after = rolledBack(record, target, time);
    if (after !== undefined) return after;
    throw noVersion(`${name}@${tag} remembers no version before the current one; name the one to go back to`);
  };
  const state = await tags.read(name, tag, { signal });
  if (typeof state !== "object") throw unknownTag(name, tag);
  await assertThere(blobs, name, next(state.record).digest, signal);
  const { before, after } = await tags.update(
    name,
    tag,
    (record) => {
      if (record === undefined) throw unknownTag(name, tag);
      return next(record);
    },
    signal,
  );
  const digest = after?.digest ?? "";
  // Who removes a version looks afterwards whether a tag names it, and brings it back: it may be away for a moment.
  for (let left = LOOKS; !(await blobs.exists(name, digest, signal)); left -= 1) {
    if (left === 0) throw gone(name, digest);
    await sleep(LOOK_MS, undefined, { signal });
  }
  return { digest, previous: before?.digest ?? digest };
};

const assertThere = async (
  blobs: Blobs,
  name: string,
  digest: string,
  signal: AbortSignal,
): Promise<void> => {
  if (!(await blobs.exists(name, digest, signal))) throw gone(name, digest);
};

const gone = (name: string, digest: string): Error =>
  noVersion(`the bundle of ${name}@sha256:${digest} is no longer in the registry; upload it again`);

/** The version that is meant; fails with OL_REGISTRY_CLIENT_NO_VERSION if that is none, or not only one. */
export const chosen = (name: string, to: string, versions: readonly Version[]): VersionEntry => {
  const tagged = versions.find(({ tags }) => tags.includes(to));
  if (tagged !== undefined) return entryOf(tagged);
  const digits = to.startsWith("sha256:") ? to.slice("sha256:".length) : to;
  const begun =
    isDigest(digits) || /^[0-9a-f]{8,63}$/u.test(digits)
      ? versions.filter(({ digest }) => digest.startsWith(digits))
      : [];
  const [only, another] = begun;
  if (another !== undefined)
    throw noVersion(`several versions of ${name} begin with ${digits}; give more digits`);
  if (only === undefined)
    throw noVersion(
      `${name} has no version ${JSON.stringify(to.slice(0, 100))}; \`list --versions\` shows those it has`,
    );
  return entryOf(only);
};

const unknownTag = (name: string, tag: string): Error =>
  registryClientError("OL_REGISTRY_CLIENT_UNKNOWN", `the registry has no ${name}@${tag}`);
