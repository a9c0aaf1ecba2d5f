import * as path from "node:path";

import type { Directories } from "./directories.ts";
import { removeFile } from "./disk.ts";
import { type StoreRecord, encodeRecord } from "./record.ts";
import { TemporaryFile } from "./temporary-file.ts";

/** Writes and removes records, so that each is on the disk as a whole or not at all. */
export class RecordFiles {
  readonly #temporary: string;
  readonly #directories: Directories;

  /** `temporary` is the directory for what is being written. */
  constructor(temporary: string, directories: Directories) {
    this.#temporary = temporary;
    this.#directories = directories;
  }

  /** Resolves when the record, in place of an earlier one, is on the disk. */
  async write(file: string, record: StoreRecord): Promise<void> {
    this.#directories.mayWrite();
    await using temporary = await TemporaryFile.create(this.#temporary);
    await temporary.write(encodeRecord(record), 0);
    await temporary.sync();
    // Another one may have failed meanwhile; after this point it would be too late.
    this.#directories.mayWrite();
    await temporary.publish(file);
    await this.#directories.sync(path.dirname(file));
  }

  /** Resolves when it is on the disk that none of these is there, which are all of one directory. */
  async remove(...files: readonly [string, ...string[]]): Promise<void> {
    this.#directories.mayWrite();
    for (const file of files) await removeFile(file);
    await this.#directories.sync(path.dirname(files[0]));
  }
}
