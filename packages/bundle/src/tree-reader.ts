import {
  type BigIntStats,
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  realpathSync,
} from "node:fs";

import { namesIn } from "./directory-names.ts";
import { bundleError } from "./errors.ts";
import { errnoOf, quoted, readFault } from "./fault.ts";
import type { BundleLimits } from "./limits.ts";
import type { Pace } from "./pace.ts";

/** Receives a bundle's content, a directory always before what is in it. */
export interface TreeVisitor {
  directory(path: string): void;
  /** `fd` is an open regular file of the given size; it is closed afterwards. */
  file(path: string, fd: number, stats: BigIntStats): Promise<void>;
}

const DIRECTORY = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;
// O_NONBLOCK: opening a FIFO that took the place of a file must not wait for a writer.
const FILE = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** Node has no openat; a name below /proc/self/fd/N is resolved from the open directory N all the same. */
const below = (fd: number, name: string): string => `/proc/self/fd/${fd}/${name}`;

const unsafe = (path: string, why: string): Error =>
  bundleError("OL_BUNDLE_UNSAFE_FILE", `${quoted(path)} in the lambda's code ${why}`);

/** By bytes, as bundles have them: what is made of a directory's content is the same wherever that lies. */
const inOrder = (names: readonly string[]): readonly string[] =>
  names
    .map((name) => ({ name, key: Buffer.from(name.normalize("NFC")) }))
    .sort((one, other) => Buffer.compare(one.key, other.key))
    .map(({ name }) => name);

/**
 * Reads a directory that somebody else may be changing, even with bad intent. Every step is opened from its
 * parent's descriptor without following links, so nothing outside the root is ever read. Links that lead to
 * a place inside are read as what they lead to; everything but files, directories and such links is refused.
 * What is in a directory comes in the order of its names' bytes.
 */
export class TreeReader {
  readonly #limits: BundleLimits;
  readonly #visitor: TreeVisitor;
  readonly #pace: Pace;
  readonly #skip: (name: string) => boolean;
  #root = -1;
  #rootPath = "";
  #entries = 0;
  #bytes = 0n;
  /** Device and inode of the directories that lead to the present one: a link to one of them is a circle. */
  readonly #ancestors: string[] = [];

  constructor(
    visitor: TreeVisitor,
    limits: BundleLimits,
    pace: Pace,
    skip: (name: string) => boolean = () => false,
  ) {
    this.#visitor = visitor;
    this.#limits = limits;
    this.#pace = pace;
    this.#skip = skip;
  }

  /** Walks `directory`, which may itself be a link: whoever owns the registry decides what is in it. */
  async read(directory: string): Promise<void> {
    try {
      this.#rootPath = realpathSync(directory);
      this.#root = openSync(this.#rootPath, DIRECTORY);
    } catch (error) {
      throw readFault(error, "");
    }
    try {
      await this.#directory(this.#root, "");
    } finally {
      closeSync(this.#root);
    }
  }

  async #directory(fd: number, path: string): Promise<void> {
    const stats = fstatSync(fd, { bigint: true });
    const identity = `${stats.dev}:${stats.ino}`;
    if (this.#ancestors.includes(identity)) throw unsafe(path, "is a link to a directory that it is in");
    if (this.#ancestors.length > this.#limits.maxDepth)
      throw bundleError(
        "OL_BUNDLE_TOO_LARGE",
        `the lambda's code is nested more than ${this.#limits.maxDepth} directories deep`,
      );
    this.#ancestors.push(identity);
    for (const name of inOrder(namesIn(`/proc/self/fd/${fd}`, path))) {
      if (this.#skip(name)) continue;
      this.#entries += 1;
      if (this.#entries > this.#limits.maxEntries)
        throw bundleError(
          "OL_BUNDLE_TOO_LARGE",
          `the lambda's code has more than ${this.#limits.maxEntries} files`,
        );
      await this.#child(fd, name, path === "" ? name : `${path}/${name}`);
      if (this.#pace.due()) await this.#pace.rest();
    }
    this.#ancestors.pop();
  }

  async #child(parent: number, name: string, path: string): Promise<void> {
    let stats: BigIntStats;
    try {
      stats = lstatSync(below(parent, name), { bigint: true });
    } catch (error) {
      throw readFault(error, path);
    }
    if (!stats.isSymbolicLink()) return this.#open(parent, name, path, stats);
    const { fd, last, close } = this.#follow(parent, name, path);
    try {
      await this.#open(fd, last, path, lstatSync(below(fd, last), { bigint: true }));
    } catch (error) {
      if (errnoOf(error) === undefined) throw error;
      throw readFault(error, path);
    } finally {
      close();
    }
  }

  async #open(parent: number, name: string, path: string, stats: BigIntStats): Promise<void> {
    if (!stats.isDirectory() && !stats.isFile())
      throw unsafe(path, "is a device, a FIFO or a socket; only files and directories can be code");
    let fd: number;
    try {
      fd = openSync(below(parent, name), stats.isDirectory() ? DIRECTORY : FILE);
    } catch (error) {
      throw readFault(error, path);
    }
    try {
      if (stats.isDirectory()) {
        this.#visitor.directory(path);
        await this.#directory(fd, path);
      } else await this.#file(fd, path);
    } finally {
      closeSync(fd);
    }
  }

  async #file(fd: number, path: string): Promise<void> {
    const stats = fstatSync(fd, { bigint: true });
    if (!stats.isFile()) throw bundleError("OL_BUNDLE_CHANGING", `${quoted(path)} changed while it was read`);
    this.#bytes += stats.size;
    if (this.#bytes > BigInt(this.#limits.maxBytes))
      throw bundleError(
        "OL_BUNDLE_TOO_LARGE",
        `the lambda's code is larger than ${Math.floor(this.#limits.maxBytes / 1024 / 1024)} MiB`,
      );
    await this.#visitor.file(path, fd, stats);
  }

  /** Opens the directory that holds what a link leads to, step by step from the root. */
  #follow(parent: number, name: string, path: string): { fd: number; last: string; close: () => void } {
    const steps = this.#targetSteps(parent, name, path);
    const last = steps.pop() as string;
    let fd = this.#root;
    const opened: number[] = [];
    const close = (): void => opened.forEach((one) => closeSync(one));
    try {
      for (const step of steps) {
        fd = openSync(below(fd, step), DIRECTORY);
        opened.push(fd);
      }
    } catch (error) {
      close();
      throw readFault(error, path);
    }
    return { fd, last, close };
  }

  #targetSteps(parent: number, name: string, path: string): string[] {
    let target: string;
    try {
      target = realpathSync(below(parent, name));
    } catch (error) {
      if (errnoOf(error) === "ENOENT") throw unsafe(path, "is a link that leads nowhere");
      if (errnoOf(error) === "ELOOP") throw unsafe(path, "is a link that leads in a circle");
      throw readFault(error, path);
    }
    if (target === this.#rootPath) throw unsafe(path, "is a link to a directory that it is in");
    if (!target.startsWith(`${this.#rootPath}/`))
      throw unsafe(path, "is a link that leads out of it; copy the file instead");
    return target.slice(this.#rootPath.length + 1).split("/");
  }
}
