/** A running checksum, as node:crypto's Hash is used. */
export interface RunningChecksum {
  update(data: Uint8Array): void;
  /** In base64. */
  digest(): string;
}

/** How many bytes are taken at once: "slicing by 8", Kounavis and Berry, 2005. */
const SLICES = 8;

/** CRC-32C (Castagnoli; RFC 3720, appendix B.4). */
export class Crc32c implements RunningChecksum {
  #state = -1;

  update(data: Uint8Array): void {
    const table = crc32cTable();
    const end = data.length - (data.length % SLICES);
    let crc = this.#state;
    let at = 0;
    for (; at < end; at += SLICES) {
      const low =
        crc ^
        ((data[at] as number) |
          ((data[at + 1] as number) << 8) |
          ((data[at + 2] as number) << 16) |
          ((data[at + 3] as number) << 24));
      crc =
        (table[0x700 + (low & 0xff)] as number) ^
        (table[0x600 + ((low >>> 8) & 0xff)] as number) ^
        (table[0x500 + ((low >>> 16) & 0xff)] as number) ^
        (table[0x400 + (low >>> 24)] as number) ^
        (table[0x300 + (data[at + 4] as number)] as number) ^
        (table[0x200 + (data[at + 5] as number)] as number) ^
        (table[0x100 + (data[at + 6] as number)] as number) ^
        (table[data[at + 7] as number] as number);
    }
    for (; at < data.length; at += 1) {
      crc = (table[(crc ^ (data[at] as number)) & 0xff] as number) ^ (crc >>> 8);
    }
    this.#state = crc;
  }

  digest(): string {
    const bytes = Buffer.alloc(4);
    bytes.writeInt32BE(~this.#state);
    return bytes.toString("base64");
  }
}

/** CRC-64/NVME (NVM Command Set Specification 1.0, section 5.2.1.3.4), in two halves: JavaScript's numbers are too short for one. */
export class Crc64Nvme implements RunningChecksum {
  #low = -1;
  #high = -1;

  update(data: Uint8Array): void {
    const { low: lows, high: highs } = crc64Tables();
    const end = data.length - (data.length % SLICES);
    let crcLow = this.#low;
    let crcHigh = this.#high;
    let at = 0;
    for (; at < end; at += SLICES) {
      const i0 = 0x700 + ((crcLow ^ (data[at] as number)) & 0xff);
      const i1 = 0x600 + (((crcLow >>> 8) ^ (data[at + 1] as number)) & 0xff);
      const i2 = 0x500 + (((crcLow >>> 16) ^ (data[at + 2] as number)) & 0xff);
      const i3 = 0x400 + ((crcLow >>> 24) ^ (data[at + 3] as number));
      const i4 = 0x300 + ((crcHigh ^ (data[at + 4] as number)) & 0xff);
      const i5 = 0x200 + (((crcHigh >>> 8) ^ (data[at + 5] as number)) & 0xff);
      const i6 = 0x100 + (((crcHigh >>> 16) ^ (data[at + 6] as number)) & 0xff);
      const i7 = (crcHigh >>> 24) ^ (data[at + 7] as number);
      crcLow = combined(lows, i0, i1, i2, i3, i4, i5, i6, i7);
      crcHigh = combined(highs, i0, i1, i2, i3, i4, i5, i6, i7);
    }
    for (; at < data.length; at += 1) {
      const index = (crcLow ^ (data[at] as number)) & 0xff;
      crcLow = (lows[index] as number) ^ ((crcLow >>> 8) | (crcHigh << 24));
      crcHigh = (highs[index] as number) ^ (crcHigh >>> 8);
    }
    this.#low = crcLow;
    this.#high = crcHigh;
  }

  digest(): string {
    const bytes = Buffer.alloc(8);
    bytes.writeInt32BE(~this.#high, 0);
    bytes.writeInt32BE(~this.#low, 4);
    return bytes.toString("base64");
  }
}

const combined = (
  table: Int32Array,
  i0: number,
  i1: number,
  i2: number,
  i3: number,
  i4: number,
  i5: number,
  i6: number,
  i7: number,
): number =>
  (table[i0] as number) ^
  (table[i1] as number) ^
  (table[i2] as number) ^
  (table[i3] as number) ^
  (table[i4] as number) ^
  (table[i5] as number) ^
  (table[i6] as number) ^
  (table[i7] as number);

/** Made at the first use: most requests ask for neither. Entry 256 k + b is byte b followed by k zero bytes. */
const once = <Value>(make: () => Value): (() => Value) => {
  let made: Value | undefined;
  return () => (made ??= make());
};

const crc32cTable = once((): Int32Array => {
  const table = new Int32Array(256 * SLICES);
  for (let byte = 0; byte < 256; byte += 1) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc & 1) === 0 ? crc >>> 1 : (crc >>> 1) ^ 0x82f63b78;
    table[byte] = crc;
  }
  for (let place = 256; place < table.length; place += 1) {
    const before = table[place - 256] as number;
    table[place] = (before >>> 8) ^ (table[before & 0xff] as number);
  }
  return table;
});

const crc64Tables = once((): { low: Int32Array; high: Int32Array } => {
  const low = new Int32Array(256 * SLICES);
  const high = new Int32Array(256 * SLICES);
  for (let byte = 0; byte < 256; byte += 1) {
    let crc = BigInt(byte);
    for (let bit = 0; bit < 8; bit += 1)
      crc = (crc & 1n) === 0n ? crc >> 1n : (crc >> 1n) ^ 0x9a6c9329ac4bc9b5n;
    low[byte] = Number(BigInt.asIntN(32, crc));
    high[byte] = Number(BigInt.asIntN(32, crc >> 32n));
  }
  for (let place = 256; place < low.length; place += 1) {
    const beforeLow = low[place - 256] as number;
    const beforeHigh = high[place - 256] as number;
    low[place] = ((beforeLow >>> 8) | (beforeHigh << 24)) ^ (low[beforeLow & 0xff] as number);
    high[place] = (beforeHigh >>> 8) ^ (high[beforeLow & 0xff] as number);
  }
  return { low, high };
});
