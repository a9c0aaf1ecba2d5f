/** Everything in a tar archive comes in blocks of this size. */
export const BLOCK_BYTES = 512;

/** Where the fields of a header are, as [offset, length], from POSIX's ustar. */
export const FIELDS = {
  name: [0, 100],
  mode: [100, 8],
  uid: [108, 8],
  gid: [116, 8],
  size: [124, 12],
  mtime: [136, 12],
  checksum: [148, 8],
  type: [156, 1],
  magic: [257, 8],
  devMajor: [329, 8],
  devMinor: [337, 8],
  prefix: [345, 155],
} as const;

/** "ustar", NUL, version 00. */
export const USTAR_MAGIC = "ustar\u000000";
/** GNU tar's own format, which has no prefix. */
export const GNU_MAGIC = "ustar  \u0000";

/** The sum of a header's bytes, those of the sum itself taken for blanks. */
export const checksumOf = (block: Uint8Array): number => {
  const [start, length] = FIELDS.checksum;
  let sum = length * 0x20;
  for (let at = 0; at < BLOCK_BYTES; at += 1)
    if (at < start || at >= start + length) sum += block[at] as number;
  return sum;
};

/** How many bytes follow `size` bytes up to the end of their last block. */
export const paddingOf = (size: number): number => (BLOCK_BYTES - (size % BLOCK_BYTES)) % BLOCK_BYTES;
