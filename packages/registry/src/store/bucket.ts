import type { ObjectInfo } from "../object-store.ts";
import { s3Error } from "../s3-error.ts";

import type { BlobHold } from "./blobs.ts";
import { SortedKeys } from "./sorted-keys.ts";

/** An object that is on the disk. */
export interface StoredObject {
  readonly info: ObjectInfo;
  /** Of the content, in hexadecimal. */
  readonly md5: string;
  readonly uploadId?: string;
  readonly hold: BlobHold;
}

/** A bucket and its objects, as they are on the disk. */
export class Bucket {
  readonly name: string;
  readonly createdMs: number;
  objects: SortedKeys<StoredObject> = new SortedKeys();
  /** How many changes of it are on their way to the disk. */
  #changing = 0;
  #state: "open" | "closing" = "open";

  constructor(name: string, createdMs: number) {
    this.name = name;
    this.createdMs = createdMs;
  }

  get open(): boolean {
    return this.#state === "open";
  }

  /** Runs `act`, which changes what is in the bucket; meanwhile it cannot be removed. Fails with NoSuchBucket if it is being removed. */
  async change<Result>(act: () => Promise<Result>): Promise<Result> {
    if (!this.open) throw s3Error("NoSuchBucket", undefined, { details: { BucketName: this.name } });
    this.#changing += 1;
    try {
      return await act();
    } finally {
      this.#changing -= 1;
    }
  }

  /** Runs `act`, which removes the bucket; nothing can be put there meanwhile, and not after it has succeeded. BucketNotEmpty. */
  async remove(act: () => Promise<void>): Promise<void> {
    if (this.objects.size > 0 || this.#changing > 0) {
      throw s3Error("BucketNotEmpty", undefined, { details: { BucketName: this.name } });
    }
    this.#state = "closing";
    try {
      await act();
    } catch (error) {
      this.#state = "open";
      throw error;
    }
  }
}
