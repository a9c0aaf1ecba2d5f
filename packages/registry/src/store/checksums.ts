import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";

import type { BodyDigests, ChecksumAlgorithm } from "../object-store.ts";

import { Crc32c, Crc64Nvme, type RunningChecksum } from "./crc.ts";

/** What is computed of a body: always `md5` and `sha256`, which the store needs itself. */
export type Computed = ChecksumAlgorithm | "md5";

/** A running checksum of that kind. */
export const runningChecksum = (kind: Computed): RunningChecksum => {
  if (kind === "crc32") return new Crc32();
  if (kind === "crc32c") return new Crc32c();
  if (kind === "crc64nvme") return new Crc64Nvme();
  return new Hash(kind);
};

/** Checksums of `data`, all in base64. */
export const checksumsOf = (kinds: readonly Computed[], data: readonly Uint8Array[]): Map<Computed, string> =>
  new Map(
    kinds.map((kind) => {
      const running = runningChecksum(kind);
      for (const piece of data) running.update(piece);
      return [kind, running.digest()];
    }),
  );

/** What to compute of a body of which `algorithms` are asked. */
export const computedFor = (algorithms: readonly ChecksumAlgorithm[]): readonly Computed[] => [
  ...new Set<Computed>(["md5", "sha256", ...algorithms]),
];

/** The checksums of a body as its `verify` gets them. */
export const bodyDigests = (
  size: number,
  algorithms: readonly ChecksumAlgorithm[],
  computed: ReadonlyMap<Computed, string>,
): BodyDigests => {
  const value = (kind: Computed): string => {
    const found = computed.get(kind);
    if (found === undefined) throw new Error(`${kind} was not computed`);
    return found;
  };
  return {
    size,
    md5: toHex(value("md5")),
    sha256: toHex(value("sha256")),
    checksums: new Map(algorithms.map((algorithm) => [algorithm, value(algorithm)])),
  };
};

const toHex = (base64: string): string => Buffer.from(base64, "base64").toString("hex");

class Hash implements RunningChecksum {
  readonly #hash;

  constructor(name: "md5" | "sha1" | "sha256") {
    this.#hash = createHash(name);
  }

  update(data: Uint8Array): void {
    this.#hash.update(data);
  }

  digest(): string {
    return this.#hash.digest("base64");
  }
}

class Crc32 implements RunningChecksum {
  #value = 0;

  update(data: Uint8Array): void {
    this.#value = crc32(data, this.#value);
  }

  digest(): string {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(this.#value);
    return bytes.toString("base64");
  }
}
