import { gzipSync } from "node:zlib";

const BLOCK = 512;

/** What a header says; every field may be wrong. */
export interface Entry {
  readonly name: string | Buffer;
  /** "0" is a regular file. */
  readonly type?: string;
  readonly content?: string | Buffer;
  /** In octal, or the bytes of the field. */
  readonly mode?: number | string;
  /** In octal, or the bytes of the field; by default the content's. */
  readonly size?: number | string | Buffer;
  readonly link?: string;
  /** By default ustar's. */
  readonly magic?: string;
  readonly prefix?: string;
  /** Put before the checksum is made. */
  readonly patch?: (header: Buffer) => void;
  /** Put afterwards. */
  readonly damage?: (header: Buffer) => void;
}

/** The magic of GNU tar's own format. */
export const GNU: string = "ustar  \0";

const numberField = (value: number | string | Buffer, width: number): Buffer =>
  typeof value === "number"
    ? Buffer.from(`${value.toString(8).padStart(width - 1, "0")}\0`)
    : Buffer.from(value);

/** Makes a header's checksum right. */
export const checksum = (header: Buffer): void => {
  header.fill(" ", 148, 156);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
};

/** A header with the content behind it. */
export const entry = (given: Entry): Buffer => {
  const content = Buffer.from(given.content ?? "");
  const header = Buffer.alloc(BLOCK);
  Buffer.from(given.name).copy(header, 0, 0, 100);
  numberField(given.mode ?? 0o644, 8).copy(header, 100);
  numberField(0o1750, 8).copy(header, 108);
  numberField(0o1750, 8).copy(header, 116);
  numberField(given.size ?? content.length, 12).copy(header, 124);
  numberField(1_700_000_000, 12).copy(header, 136);
  header.write(given.type ?? "0", 156, "latin1");
  header.write(given.link ?? "", 157);
  header.write(given.magic ?? "ustar\u000000", 257, "latin1");
  header.write("somebody", 265);
  header.write(given.prefix ?? "", 345);
  given.patch?.(header);
  checksum(header);
  given.damage?.(header);
  return Buffer.concat([header, content, Buffer.alloc((BLOCK - (content.length % BLOCK)) % BLOCK)]);
};

/** A line of a pax header. */
export const paxRecord = (key: string, value: string | Buffer): Buffer => {
  const rest = Buffer.concat([Buffer.from(` ${key}=`), Buffer.from(value), Buffer.from("\n")]);
  let length = rest.length + 1;
  while (String(length).length + rest.length !== length) length += 1;
  return Buffer.concat([Buffer.from(String(length)), rest]);
};

/** A pax header for what follows, or with the type "g" for all that does. */
export const pax = (records: Readonly<Record<string, string | Buffer>>, type = "x"): Buffer =>
  entry({
    name: "PaxHeaders/f",
    type,
    content: Buffer.concat(Object.entries(records).map(([key, value]) => paxRecord(key, value))),
  });

/** The end of an archive. */
export const END: Buffer = Buffer.alloc(2 * BLOCK);
/** A handler, so that the rest may be a lambda. */
export const F: Buffer = entry({ name: "f.py", content: "def f(event):\n    return 1\n" });

/** A whole archive of these entries. */
export const tar = (...parts: readonly Buffer[]): Buffer => Buffer.concat([...parts, END]);
/** Compressed. */
export const gz = (data: Buffer): Buffer => gzipSync(data);
/** A whole bundle of these entries. */
export const bundle = (...parts: readonly Buffer[]): Buffer => gz(tar(...parts));
