import { type FSWatcher, watch } from "node:fs";
import { dirname } from "node:path";

import { systemReason } from "./system-reason.ts";

/** A directory that cannot be watched is tried again after this time. */
const RETRY_MS = 5_000;

export interface FileWatchOptions {
  readonly files: readonly string[];
  /** What is written in several steps is told once, after so many ms without a change. */
  readonly settleMs: number;
  /** Something has changed, perhaps in the files. Also once the watch begins, or begins again: whatever was before is nobody's news. */
  readonly changed: () => void;
  /** A directory cannot be watched; the reason. */
  readonly failed: (reason: string) => void;
}

/**
 * Tells of changes of files: of anything in their directories, for a file may be replaced by another, or by a link to another (as
 * Kubernetes does, and who renews certificates).
 */
export class FileWatch implements Disposable {
  readonly #options: FileWatchOptions;
  readonly #directories: readonly string[];
  #watchers: FSWatcher[] = [];
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  /** Begins at once: with a call of `changed`, or of `failed`. */
  constructor(options: FileWatchOptions) {
    this.#options = options;
    this.#directories = [...new Set(options.files.map((file) => dirname(file)))];
    this.#watch();
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    this.#stop();
  }

  #watch(): void {
    if (this.#closed) return;
    try {
      for (const directory of this.#directories) {
        const watcher = watch(directory, { persistent: false }, () => this.#soon());
        watcher.on("error", (error) => this.#unwatchable(error));
        this.#watchers.push(watcher);
      }
    } catch (error) {
      this.#unwatchable(error);
      return;
    }
    this.#options.changed();
  }

  #soon(): void {
    if (this.#closed) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#options.changed(), this.#options.settleMs).unref();
  }

  #unwatchable(error: unknown): void {
    if (this.#closed) return;
    this.#stop();
    this.#options.failed(systemReason(error));
    this.#timer = setTimeout(() => this.#watch(), RETRY_MS).unref();
  }

  #stop(): void {
    clearTimeout(this.#timer);
    for (const watcher of this.#watchers) watcher.close();
    this.#watchers = [];
  }
}
