import { randomBytes } from "node:crypto";
import * as path from "node:path";

import type { Logger } from "@ol/common";

import type { Directories } from "./directories.ts";
import { disk } from "./disk.ts";

/** Where damaged files are put, for somebody to look at; nothing in it is used or removed. */
export class Quarantine {
  readonly #directory: string;
  readonly #directories: Directories;
  readonly #logger: Logger;
  #count: number;

  /** `count` files are in it already. */
  constructor(directory: string, count: number, directories: Directories, logger: Logger) {
    this.#directory = directory;
    this.#count = count;
    this.#directories = directories;
    this.#logger = logger;
  }

  get count(): number {
    return this.#count;
  }

  /** Sets the file aside, and logs why; its name there is its own and something random. */
  async take(file: string, reason: string): Promise<void> {
    const target = path.join(this.#directory, `${path.basename(file)}-${randomBytes(4).toString("hex")}`);
    this.#directories.mayWrite();
    await disk.rename(file, target);
    this.#count += 1;
    this.#logger.error("a damaged file was set aside", { file, to: target, reason });
    await this.#directories.sync(this.#directory);
    await this.#directories.sync(path.dirname(file));
  }
}
