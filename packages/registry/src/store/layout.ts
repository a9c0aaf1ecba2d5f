import { createHash } from "node:crypto";
import * as path from "node:path";

/**
 * Where things are in a data directory. Nothing of a client becomes part of a path but the name of a bucket, which has only harmless
 * characters; a record is found under the SHA-256 of its key.
 *
 * ```
 * format                 says that this is a data directory, and of which kind
 * lock                   held by the process that has the directory
 * tmp/RANDOM             what is being written
 * blobs/D/DIGEST         contents, under their SHA-256; D is its first digit
 * records/D/HASH         an object: which content, and what is known of it; HASH is the SHA-256 of BUCKET/KEY
 * buckets/NAME
 * uploads/ID, ID.NUMBER  an unfinished multipart upload, and its parts
 * quarantine/            what was set aside, never removed
 * ```
 */
export class Layout {
  readonly root: string;
  readonly format: string;
  readonly lock: string;
  readonly temporary: string;
  readonly buckets: string;
  readonly uploads: string;
  readonly quarantine: string;
  readonly blobDirectories: readonly string[];
  readonly recordDirectories: readonly string[];

  constructor(root: string) {
    this.root = root;
    this.format = path.join(root, "format");
    this.lock = path.join(root, "lock");
    this.temporary = path.join(root, "tmp");
    this.buckets = path.join(root, "buckets");
    this.uploads = path.join(root, "uploads");
    this.quarantine = path.join(root, "quarantine");
    this.blobDirectories = FAN.map((digit) => path.join(root, "blobs", digit));
    this.recordDirectories = FAN.map((digit) => path.join(root, "records", digit));
  }

  /** The directories that have directories in them. */
  get parents(): readonly string[] {
    return [this.root, path.join(this.root, "blobs"), path.join(this.root, "records")];
  }

  /** Every directory but the root, parents first. */
  get directories(): readonly string[] {
    return [
      ...this.parents.slice(1),
      this.temporary,
      this.buckets,
      this.uploads,
      this.quarantine,
      ...this.blobDirectories,
      ...this.recordDirectories,
    ];
  }

  blob(digest: string): string {
    return path.join(this.root, "blobs", digest.slice(0, 1), digest);
  }

  record(bucket: string, key: string): string {
    const hash = createHash("sha256").update(`${bucket}/${key}`).digest("hex");
    return path.join(this.root, "records", hash.slice(0, 1), hash);
  }

  bucket(name: string): string {
    return path.join(this.buckets, name);
  }

  upload(id: string): string {
    return path.join(this.uploads, id);
  }

  part(id: string, partNumber: number): string {
    return path.join(this.uploads, `${id}.${partNumber}`);
  }
}

/**
 * The sixteen digits. Few, so that each directory can be kept open and writers often share its sync; 100,000 objects are 6,250 files
 * in each, which file systems with indexed directories do not notice.
 */
const FAN: readonly string[] = [..."0123456789abcdef"];
