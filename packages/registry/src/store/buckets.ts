import { s3Error } from "../s3-error.ts";

import { Bucket } from "./bucket.ts";
import { checkBucketName } from "./names.ts";
import { type StoreParts, bucketOf } from "./store-parts.ts";
import type { Uploads } from "./uploads.ts";

/** Makes and removes buckets. */
export class Buckets {
  readonly #parts: StoreParts;
  readonly #uploads: Uploads;

  constructor(parts: StoreParts, uploads: Uploads) {
    this.#parts = parts;
    this.#uploads = uploads;
  }

  list(): readonly Bucket[] {
    return [...this.#parts.buckets.values()]
      .filter((bucket) => bucket.open)
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** Fails with InvalidBucketName, BucketAlreadyOwnedByYou or TooManyBuckets. */
  async create(name: string): Promise<void> {
    checkBucketName(name);
    const { buckets, limits, locks, layout, records } = this.#parts;
    await locks.run(`bucket ${name}`, async () => {
      if (buckets.get(name) !== undefined) throw s3Error("BucketAlreadyOwnedByYou");
      if (buckets.size >= limits.maxBuckets) throw s3Error("TooManyBuckets");
      const createdMs = Date.now();
      await records.write(layout.bucket(name), { kind: "bucket", name, createdMs });
      buckets.set(name, new Bucket(name, createdMs));
    });
  }

  /** Its unfinished uploads go with it. Fails with NoSuchBucket or BucketNotEmpty. */
  async delete(name: string): Promise<void> {
    const { buckets, locks, layout, records } = this.#parts;
    await locks.run(`bucket ${name}`, async () => {
      const bucket = bucketOf(this.#parts, name);
      await bucket.remove(async () => {
        await this.#uploads.abortAll(name);
        await records.remove(layout.bucket(name));
        buckets.delete(name);
      });
    });
  }
}
