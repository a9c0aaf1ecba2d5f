import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";

import { isOlError, systemReason } from "@ol/common";
import { type Extract, extract } from "tar-stream";

import { shown } from "../text.ts";
import { ArchiveEnd } from "./archive-end.ts";
import { entryPath, isOfRunningSystem } from "./entry-name.ts";
import { baseFailure } from "./failure.ts";
import { TreeWriter } from "./tree-writer.ts";

/** What came out of an archive. */
export interface Unpacked {
  /** Files, links and directories. */
  readonly entries: number;
  /** Devices, pipes, and what is below /dev, /proc and /sys. */
  readonly leftOut: number;
  /** Of the archive. */
  readonly bytes: number;
}

/** How one is unpacked. */
export interface UnpackOptions {
  /** What the archive is called in messages. */
  readonly name: string;
  readonly signal: AbortSignal;
  /** Hears how many bytes of the archive have been read. */
  readonly progress?: (bytes: number) => void;
}

type Entry = Extract extends AsyncIterable<infer Item> ? Item : never;

/** What stands for bytes that are no text. */
const UNREADABLE = "\uFFFD";

/** Node's pipeline says that it was cut off, where the reason is what the other side said. */
const isConsequence = (error: unknown): boolean =>
  (error as NodeJS.ErrnoException).code === "ERR_STREAM_PREMATURE_CLOSE";

/** False if it was left out. */
const put = async (entry: Entry, tree: TreeWriter): Promise<boolean> => {
  const { name, type, mode, linkname, pax } = entry.header;
  const path = entryPath(name);
  // Two that differ would become one.
  if (`${name}${linkname ?? ""}`.includes(UNREADABLE))
    throw baseFailure(`the archive's ${shown(path)} has a name, or leads to one, that is not UTF-8`);
  if (isOfRunningSystem(path)) return false;
  if (Object.keys(pax ?? {}).some((key) => key.startsWith("GNU.sparse.")))
    throw baseFailure(`the archive's ${shown(path)} is stored with holes; pack it without --sparse`);
  switch (type) {
    case "directory":
      await tree.directory(path, mode);
      return true;
    case "file":
    case "contiguous-file":
      // The library's types do not say of what its streams are.
      await tree.file(path, mode, entry as AsyncIterable<Uint8Array>);
      return true;
    case "symlink":
      await tree.symbolicLink(path, linkname);
      return true;
    case "link":
      await tree.hardLink(path, entryPath(linkname));
      return true;
    case "character-device":
    case "block-device":
    case "fifo":
      return false;
    default:
      throw baseFailure(`the archive's ${shown(path)} is of a kind that no root file system has`);
  }
};

/**
 * Unpacks a tar archive, which may be hostile, into `directory`, which is there, empty and ours alone. Nothing is made
 * outside of it, whatever the archive's names and links say; devices and pipes are left out; all of it is ours, and nobody
 * else may change it. Fails with OL_ADMIN_BASE, and as `source` does; what is there then is for the caller to remove.
 */
export const unpackTree = async (
  source: Readable,
  directory: string,
  { name, signal, progress }: UnpackOptions,
): Promise<Unpacked> => {
  const entries = extract();
  const end = new ArchiveEnd(progress);
  const tree = new TreeWriter(directory);
  const count = { entries: 0, leftOut: 0 };
  const write = async (): Promise<void> => {
    for await (const entry of entries) {
      count[(await put(entry, tree)) ? "entries" : "leftOut"] += 1;
      entry.resume();
    }
  };
  const outcomes = await Promise.allSettled([pipeline(source, end, entries, { signal }), write()]);
  const failures = outcomes.flatMap((outcome) => (outcome.status === "rejected" ? [outcome.reason] : []));
  const failure: unknown = failures.find((error) => !isConsequence(error)) ?? failures[0];
  if (isOlError(failure)) throw failure;
  if (failure !== undefined)
    throw baseFailure(`${name} cannot be unpacked: ${systemReason(failure)}`, failure);
  if (!end.isWhole) throw baseFailure(`${name} cannot be unpacked: it ends too early`);
  if (count.entries === 0) throw baseFailure(`${name} has nothing in it`);
  return { ...count, bytes: end.bytes };
};
