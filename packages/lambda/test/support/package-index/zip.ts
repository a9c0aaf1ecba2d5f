import { crc32, deflateRawSync } from "node:zlib";

/** One entry of an archive, with whatever name and mode: also such as no tool would write. */
export interface ZipEntry {
  readonly name: string;
  readonly data: Buffer;
  /** As in stat: type and permissions. */
  readonly mode: number;
  /** Deflated; default: stored. */
  readonly deflate?: boolean;
}

const LOCAL = 0x04034b50;
const CENTRAL = 0x02014b50;
const END = 0x06054b50;
/** 1980-01-01, the first day there is. */
const DATE = 0x21;
const MADE_BY_UNIX = (3 << 8) | 20;

const fields = (sizes: string, ...values: readonly number[]): Buffer => {
  const buffer = Buffer.alloc(sizes.split("").reduce((sum, size) => sum + Number(size), 0));
  let at = 0;
  for (const [index, size] of sizes.split("").entries())
    at = buffer.writeUIntLE((values[index] ?? 0) >>> 0, at, Number(size));
  return buffer;
};

/** An archive of these entries, in their order. */
export const zip = (entries: readonly ZipEntry[]): Buffer => {
  const parts: Buffer[] = [];
  const central: Buffer[] = [];
  let offset = 0;
  for (const { name, data, mode, deflate = false } of entries) {
    const packed = deflate ? deflateRawSync(data) : data;
    const path = Buffer.from(name);
    const method = deflate ? 8 : 0;
    const common = [0, method, 0, DATE, crc32(data), packed.length, data.length, path.length, 0];
    const local = fields("42222244422", LOCAL, 20, ...common);
    parts.push(local, path, packed);
    central.push(
      fields("42222224442222244", CENTRAL, MADE_BY_UNIX, 20, ...common, 0, 0, 0, mode * 0x10000, offset),
      path,
    );
    offset += local.length + path.length + packed.length;
  }
  const directory = Buffer.concat(central);
  const count = entries.length;
  return Buffer.concat([
    ...parts,
    directory,
    fields("42222442", END, 0, 0, count, count, directory.length, offset, 0),
  ]);
};
