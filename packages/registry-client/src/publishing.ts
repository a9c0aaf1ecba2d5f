import type { KeyObject } from "node:crypto";

import type { Logger } from "@ol/common";

import type { Blobs, BundleFile, Progress } from "./blobs.ts";
import { registryClientError } from "./errors.ts";
import { LATEST } from "./layout.ts";
import { signBundle } from "./signatures.ts";
import { MAX_HISTORY, moved, type TagRecord, type VersionEntry } from "./tag-record.ts";
import type { Tags, TagState, TagSurvey } from "./tags.ts";

export interface UploadRequest extends BundleFile {
  /** What is to point at it; default: `latest`. */
  readonly tags?: readonly string[];
  /** Refuses if one of the tags is there already. */
  readonly createOnly?: boolean;
  /** `min_instances` of its ol.yaml. */
  readonly minInstances?: number;
  /** Made elsewhere by `signBundle`. */
  readonly signature?: string;
  /** Signs it here. */
  readonly signingKey?: KeyObject;
  /** How many versions the tags remember, this one counted; what no tag remembers any more is removed. Default: 100, and nothing is removed. */
  readonly keep?: number;
}

export interface UploadResult {
  /** Whether the bundle had to be sent; false if the store had it. */
  readonly created: boolean;
  /** The digest that the first tag pointed at before; absent if at nothing, or at this one. */
  readonly previous?: string;
  /** Digests that one of the tags no longer remembers. */
  readonly forgotten: readonly string[];
}

export interface UploadOptions {
  readonly signal: AbortSignal;
  readonly onProgress?: Progress;
}

/** What publishing needs. */
export interface PublishingParts {
  readonly tags: Tags;
  readonly blobs: Blobs;
  readonly conditionalWrites: (signal: AbortSignal) => Promise<boolean>;
  readonly logger: Logger;
}

/** First the bundle, then what points at it: whoever follows a tag always finds something. */
export const publish = async (
  parts: PublishingParts,
  request: UploadRequest,
  { signal, onProgress }: UploadOptions,
): Promise<UploadResult> => {
  const wanted = request.tags ?? [LATEST];
  const known = await parts.tags.survey(request.name, signal);
  if (request.createOnly === true) await assertNew(parts, request.name, wanted, known, signal);
  // One that no tag remembers may be about to be collected: sent again, it is new.
  const there = isRemembered(known.states, request.digest) && (await parts.blobs.has(request, signal));
  if (!there) await parts.blobs.put(request, onProgress, signal);
  const entry = entryFor(request);
  const changes: TagChange[] = [];
  for (const tag of wanted) changes.push(await pointAt(parts.tags, request, tag, entry, signal));
  // Somebody may have removed the lambda, or collected garbage, in the meantime.
  if (!(await parts.blobs.has(request, signal))) await parts.blobs.put(request, undefined, signal);
  const previous = changes[0]?.before?.digest;
  return {
    created: !there,
    ...(previous !== undefined && previous !== request.digest && { previous }),
    forgotten: [...new Set(changes.flatMap((change) => lostIn(change)))],
  };
};

const entryFor = (request: UploadRequest): VersionEntry => {
  const { name, digest, size, minInstances = 0, signature, signingKey } = request;
  const signed = signingKey === undefined ? signature : signBundle(signingKey, name, digest);
  return {
    digest,
    size,
    time: new Date().toISOString(),
    ...(signed !== undefined && { signature: signed }),
    ...(minInstances > 0 && { minInstances }),
  };
};

type TagChange = Awaited<ReturnType<Tags["update"]>>;

const digestsOf = (record: TagRecord | undefined): readonly string[] =>
  record === undefined ? [] : [record.digest, ...record.history.map(({ digest }) => digest)];

const lostIn = ({ before, after }: TagChange): readonly string[] => {
  const kept = new Set(digestsOf(after));
  return digestsOf(before).filter((digest) => !kept.has(digest));
};

const isRemembered = (known: ReadonlyMap<string, TagState>, digest: string): boolean =>
  [...known.values()].some(({ record }) => digestsOf(record).includes(digest));

const pointAt = (
  tags: Tags,
  { name, createOnly, keep = MAX_HISTORY }: UploadRequest,
  tag: string,
  entry: VersionEntry,
  signal: AbortSignal,
): Promise<TagChange> => {
  const change = (record: TagRecord | undefined): TagRecord => {
    if (record !== undefined && createOnly === true) throw exists(name, tag);
    return moved(record, entry, keep);
  };
  return tags.update(name, tag, change, signal);
};

const assertNew = async (
  { blobs, conditionalWrites, logger }: PublishingParts,
  name: string,
  wanted: readonly string[],
  known: TagSurvey,
  signal: AbortSignal,
): Promise<void> => {
  const taken = wanted.find((tag) => known.states.has(tag) || known.unreadable.includes(tag));
  if (taken !== undefined) throw exists(name, taken);
  if (wanted.includes(LATEST)) {
    const bare = await blobs.bare(name, signal);
    if (bare !== undefined)
      throw registryClientError(
        "OL_REGISTRY_CLIENT_EXISTS",
        `the registry has ${name} already, as the object ${bare.key}; nothing was changed`,
      );
  }
  if (!(await conditionalWrites(signal)))
    logger.warn(
      "the store ignores conditions on writes: of two uploads at the same moment that are to create only, both may succeed",
      { lambda: name },
    );
};

const exists = (name: string, tag: string): Error =>
  registryClientError(
    "OL_REGISTRY_CLIENT_EXISTS",
    `the registry has ${name}${tag === LATEST ? "" : `@${tag}`} already, and the upload was to create only; nothing was changed`,
  );
