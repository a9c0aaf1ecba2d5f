import { isDigest } from "./layout.ts";

/** One version as a tag knows it. */
export interface VersionEntry {
  /** SHA-256 of the bundle's bytes in hexadecimal. */
  readonly digest: string;
  /** In bytes. */
  readonly size: number;
  /** When the tag began to point at it, in ISO 8601. */
  readonly time: string;
  /** See signatures.ts. */
  readonly signature?: string;
  /** `min_instances` of its ol.yaml, so that workers need not read every bundle to know what to keep ready; absent: 0. */
  readonly minInstances?: number;
  /** In a history: a rollback led away from it, so that the next one does not lead back to it. */
  readonly undone?: boolean;
}

/** What `handlers/NAME/tags/TAG.json` holds. Fields that this version does not know are kept. */
export interface TagRecord extends VersionEntry {
  /** What the tag pointed at before, newest first; each digest once, and never the current one. */
  readonly history: readonly VersionEntry[];
}

/** Older versions are forgotten, so that a record stays small. */
export const MAX_HISTORY = 100;
/** 100 versions with signatures come to 25 KB. */
export const MAX_RECORD_BYTES = 65_536;
/** One of ed25519 has 88. */
const MAX_SIGNATURE = 200;

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && Number(value) >= 0;

const isEntry = (value: unknown): value is VersionEntry =>
  isRecord(value) &&
  typeof value["digest"] === "string" &&
  isDigest(value["digest"]) &&
  isCount(value["size"]) &&
  typeof value["time"] === "string" &&
  value["time"].length <= 40 &&
  (value["signature"] === undefined ||
    (typeof value["signature"] === "string" && value["signature"].length <= MAX_SIGNATURE)) &&
  (value["minInstances"] === undefined || isCount(value["minInstances"]));

/** Undefined if it is no tag's record, or one with fields so deep that it could not be written again. */
export const parseTagRecord = (bytes: Buffer): TagRecord | undefined => {
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString("utf8"));
    JSON.stringify(value);
  } catch {
    return undefined;
  }
  if (!isEntry(value)) return undefined;
  const { history = [] } = value as { history?: unknown };
  if (!Array.isArray(history) || !history.every((entry) => isEntry(entry))) return undefined;
  return { ...value, history: history.slice(0, MAX_HISTORY) };
};

export const formatTagRecord = (record: TagRecord): Buffer =>
  Buffer.from(`${JSON.stringify(record, null, 1)}\n`);

/** The part of a record, or of what was once one, that says what it points at. */
export const entryOf = ({ digest, size, time, signature, minInstances }: VersionEntry): VersionEntry => ({
  digest,
  size,
  time,
  ...(signature !== undefined && { signature }),
  ...(minInstances !== undefined && { minInstances }),
});

/** Without what describes a version, and the history. */
const foreignFields = (record: TagRecord | undefined): Record<string, unknown> => {
  const {
    digest: _digest,
    size: _size,
    time: _time,
    signature: _signature,
    minInstances: _minInstances,
    undone: _undone,
    history: _history,
    ...rest
  } = record ?? ({} as TagRecord);
  return rest;
};

/** But for the time. */
const isSame = (one: VersionEntry, other: VersionEntry): boolean =>
  one.digest === other.digest &&
  one.size === other.size &&
  one.signature === other.signature &&
  one.minInstances === other.minInstances;

const shortened = (history: readonly VersionEntry[], keep: number): readonly VersionEntry[] =>
  history.slice(0, Math.max(0, Math.min(keep - 1, MAX_HISTORY)));

/** The tag points at `next`; of what it pointed at it remembers `keep - 1` versions. The record itself if it does already. */
export const moved = (record: TagRecord | undefined, next: VersionEntry, keep: number): TagRecord => {
  if (record !== undefined && isSame(record, next)) return trimmed(record, keep);
  const before =
    record === undefined
      ? []
      : record.digest === next.digest
        ? record.history
        : [entryOf(record), ...record.history];
  const history = before.filter(({ digest }) => digest !== next.digest);
  return { ...foreignFields(record), ...entryOf(next), history: shortened(history, keep) };
};

/** The tag points at a version of before; undefined `to` is the last one that no rollback led away from. Undefined if there is none. */
export const rolledBack = (
  record: TagRecord,
  to: VersionEntry | undefined,
  time: string,
): TagRecord | undefined => {
  const target = to ?? record.history.find(({ undone }) => undone !== true);
  if (target === undefined) return undefined;
  if (target.digest === record.digest) return record;
  const next = moved(record, { ...entryOf(target), time }, MAX_HISTORY);
  const history = next.history.map((entry) =>
    entry.digest === record.digest ? { ...entry, undone: true } : entry,
  );
  return { ...next, history };
};

/** Without one version of before; the record itself if it does not know it. */
export const forgotten = (record: TagRecord, digest: string): TagRecord =>
  record.history.some((entry) => entry.digest === digest)
    ? { ...record, history: record.history.filter((entry) => entry.digest !== digest) }
    : record;

/** With the last `keep` versions only, the current one counted; the record itself if it has no more. */
export const trimmed = (record: TagRecord, keep: number): TagRecord =>
  record.history.length <= keep - 1 ? record : { ...record, history: shortened(record.history, keep) };
