import type { ListRequest } from "../object-store.ts";

import { listKeys } from "./listing.ts";
import { SortedKeys } from "./sorted-keys.ts";
import { type PartInfo, type Upload, type UploadInfo, uploadInfo } from "./upload.ts";
import { compareUtf8 } from "./utf8-order.ts";

/** A listing of unfinished uploads; they come by their keys, and for one key by their ids. */
export interface UploadsRequest extends Omit<ListRequest, "after"> {
  /** Keys and common prefixes after this one only, and of its own uploads those after `afterId` if that is given. */
  readonly afterKey: string;
  readonly afterId?: string;
}

export interface UploadsPage {
  readonly uploads: readonly UploadInfo[];
  readonly commonPrefixes: readonly string[];
  /** Where the next page begins; absent on the last. `id` is absent after a common prefix. */
  readonly next?: { readonly key: string; readonly id?: string };
}

export interface PartsPage {
  readonly upload: UploadInfo;
  readonly parts: readonly PartInfo[];
  /** Where the next page begins (`afterPart` of its request); absent on the last. */
  readonly next?: number;
}

/** The parts after that number, at most `limit`. */
export const listParts = (upload: Upload, afterPart: number, limit: number): PartsPage => {
  const all = [...upload.parts.values()]
    .map(({ info }) => info)
    .filter(({ partNumber }) => partNumber > afterPart)
    .sort((a, b) => a.partNumber - b.partNumber);
  const parts = all.slice(0, limit);
  const last = parts.at(-1)?.partNumber;
  const more = last !== undefined && all.length > parts.length;
  return { upload: uploadInfo(upload.record), parts, ...(more ? { next: last } : {}) };
};

/** One page of `uploads`, which are all of one bucket. */
export const listUploads = (uploads: Iterable<Upload>, request: UploadsRequest): UploadsPage => {
  const { prefix, delimiter, afterKey, afterId, limit } = request;
  const byKey = new Map<string, UploadInfo[]>();
  for (const { record } of uploads) {
    const same = byKey.get(record.key) ?? [];
    if (same.length === 0) byKey.set(record.key, same);
    same.push(uploadInfo(record));
  }
  const rest = afterId === undefined ? [] : (byKey.get(afterKey) ?? []).filter(({ id }) => id > afterId);
  const keys = SortedKeys.from([...byKey].filter(([key]) => compareUtf8(key, afterKey) > 0));
  const after = listKeys(keys, { prefix, delimiter, after: afterKey, limit });
  const found = [...rest.sort(byId), ...after.values.flatMap((same) => same.sort(byId))];
  const entries = [
    ...found.map((upload) => ({ upload, at: upload.key })),
    ...after.commonPrefixes.map((common) => ({ upload: undefined, at: common })),
  ].sort((a, b) => compareUtf8(a.at, b.at));
  const shown = entries.slice(0, limit);
  const last = shown.at(-1);
  const more = last !== undefined && (entries.length > shown.length || after.next !== undefined);
  return {
    uploads: shown.flatMap(({ upload }) => upload ?? []),
    commonPrefixes: shown.flatMap(({ upload, at }) => (upload === undefined ? at : [])),
    ...(more ? { next: { key: last.at, ...(last.upload === undefined ? {} : { id: last.upload.id }) } } : {}),
  };
};

const byId = (a: UploadInfo, b: UploadInfo): number => (a.id < b.id ? -1 : 1);
