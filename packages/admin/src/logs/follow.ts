import { type FSWatcher, statSync, watch } from "node:fs";

import { adminError, errnoOf } from "../errors.ts";
import type { LogScan, LogSource } from "./sources.ts";
import { Tail } from "./tail.ts";

/** Receives a line, and where it comes from. */
export type LineSink = (line: string, source: LogSource) => void;

interface Watched {
  readonly watcher: FSWatcher;
  /** Which directory had the path when the watch began: a watch stays with that one, whoever has its path later. */
  readonly inode: bigint | undefined;
}

/** Prints what is there, in the order of age. */
export const readAll = (scan: LogScan, sink: LineSink): void => {
  for (const source of scan.sources) {
    const tail = Tail.open(source.path);
    if (tail === undefined) continue;
    try {
      for (const line of tail.lines()) sink(line, source);
      const rest = tail.remainder();
      if (rest !== undefined) sink(rest, source);
    } finally {
      tail.close();
    }
  }
};

/** Reads files as they grow and appear, woken by the kernel's change events (inotify). */
export class Follower implements Disposable {
  readonly #scan: () => LogScan;
  readonly #sink: LineSink;
  readonly #tails = new Map<string, { readonly tail: Tail; readonly source: LogSource }>();
  /** What was read to its end; it may still lie in the directory of kept output. */
  readonly #done = new Set<string>();
  readonly #watched = new Map<string, Watched>();
  readonly #fail: (error: Error) => void;
  #scheduled: NodeJS.Immediate | undefined;

  constructor(scan: () => LogScan, sink: LineSink, fail: (error: Error) => void) {
    this.#scan = scan;
    this.#sink = sink;
    this.#fail = fail;
  }

  start(): void {
    this.#look();
  }

  #schedule(): void {
    // However many events come in one turn of the loop, one look answers them all.
    this.#scheduled ??= setImmediate(() => {
      this.#scheduled = undefined;
      try {
        this.#look();
      } catch (error) {
        this.#fail(error as Error);
      }
    });
  }

  #look(): void {
    let scan = this.#scan();
    // What appeared between the look and the watch would be missed: look again until nothing new is watched.
    while (this.#watchAll(scan.directories)) scan = this.#scan();
    const present = new Set(scan.sources.map(({ key }) => key));
    for (const key of this.#done) if (!present.has(key)) this.#done.delete(key);
    for (const source of scan.sources) this.#open(source);
    for (const [key, { tail, source }] of this.#tails) {
      // Asked before the last read: what is written in between is read with the next look.
      const isOver = tail.deleted;
      for (const line of tail.lines()) this.#sink(line, source);
      if (isOver) this.#finish(key);
    }
  }

  #open(source: LogSource): void {
    if (this.#tails.has(source.key) || this.#done.has(source.key)) return;
    const tail = Tail.open(source.path);
    if (tail !== undefined) this.#tails.set(source.key, { tail, source });
  }

  #finish(key: string): void {
    const entry = this.#tails.get(key);
    if (entry === undefined) return;
    const rest = entry.tail.remainder();
    if (rest !== undefined) this.#sink(rest, entry.source);
    entry.tail.close();
    this.#tails.delete(key);
    this.#done.add(key);
  }

  /** Watches what is not watched yet, and forgets what is gone; true if anything new is watched. */
  #watchAll(directories: readonly string[]): boolean {
    const wanted = new Set(directories);
    for (const [directory, { watcher, inode }] of this.#watched) {
      // The last sandbox of a lambda takes their directory with it, and the next one makes it anew.
      if (wanted.has(directory) && inodeOf(directory) === inode) continue;
      watcher.close();
      this.#watched.delete(directory);
    }
    const before = this.#watched.size;
    for (const directory of wanted) if (!this.#watched.has(directory)) this.#watch(directory);
    return this.#watched.size > before;
  }

  #watch(directory: string): void {
    // Before the watch begins: if the directory is exchanged in between, the next look finds another one, and begins anew.
    const inode = inodeOf(directory);
    let watcher: FSWatcher;
    try {
      watcher = watch(directory, () => this.#schedule());
    } catch (error) {
      // It does not exist yet, or any more; its parent is watched.
      if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return;
      const why =
        errnoOf(error) === "ENOSPC"
          ? "too many files are watched; raise fs.inotify.max_user_watches"
          : errnoOf(error);
      throw adminError("OL_ADMIN_FILE", `cannot watch ${directory}: ${why ?? "unknown reason"}`, {
        cause: error,
      });
    }
    watcher.on("error", () => {
      watcher.close();
      this.#watched.delete(directory);
      this.#schedule();
    });
    this.#watched.set(directory, { watcher, inode });
  }

  [Symbol.dispose](): void {
    if (this.#scheduled !== undefined) clearImmediate(this.#scheduled);
    for (const { watcher } of this.#watched.values()) watcher.close();
    for (const { tail } of this.#tails.values()) tail.close();
    this.#watched.clear();
    this.#tails.clear();
  }
}

/** Undefined if nothing has that path. */
const inodeOf = (path: string): bigint | undefined =>
  statSync(path, { bigint: true, throwIfNoEntry: false })?.ino;
