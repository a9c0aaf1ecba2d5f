import { BLOCK_BYTES, checksumOf, FIELDS, paddingOf, USTAR_MAGIC } from "./tar-format.ts";

/** A file or directory as an archive tells of it. */
export interface TarEntry {
  /** In NFC, without a slash at its end. */
  readonly path: string;
  readonly type: "file" | "directory";
  readonly executable: boolean;
  readonly size: number;
}

/** The two blocks of zeros that end an archive. */
export const ARCHIVE_END: Buffer = Buffer.alloc(2 * BLOCK_BYTES);

const PAX_NAME = "././@PaxHeader";
// oxlint-disable-next-line no-control-regex -- whatever is not ASCII
const ASCII = /^[\u0020-\u007E]*$/u;

const block = (name: string, type: string, mode: number, size: number): Buffer => {
  const header = Buffer.alloc(BLOCK_BYTES);
  const text = (field: keyof typeof FIELDS, value: string): number =>
    header.write(value, FIELDS[field][0], FIELDS[field][1], "utf8");
  const octal = (field: keyof typeof FIELDS, value: number): number =>
    text(field, `${value.toString(8).padStart(FIELDS[field][1] - 1, "0")}\0`);
  text("name", name);
  octal("mode", mode);
  for (const field of ["uid", "gid", "mtime", "devMajor", "devMinor"] as const) octal(field, 0);
  octal("size", size);
  text("type", type);
  text("magic", USTAR_MAGIC);
  text("checksum", `${checksumOf(header).toString(8).padStart(6, "0")}\0 `);
  return header;
};

/** `LENGTH path=PATH\n`, LENGTH being that of the whole line. */
const paxRecord = (path: string): Buffer => {
  const rest = ` path=${path}\n`;
  const bytes = Buffer.byteLength(rest);
  let length = bytes + 1;
  while (bytes + String(length).length !== length) length += 1;
  return Buffer.from(`${length}${rest}`);
};

/** What fills up the last block of `size` bytes. */
export const padding = (size: number): Buffer => Buffer.alloc(paddingOf(size));

/**
 * The blocks that come before a file's content: one, or three if its path is long or not ASCII. They hold no owner, no
 * group and no time, and only one of two modes: equal entries are equal bytes.
 */
export const entryHeader = ({ path, type, executable, size }: TarEntry): Buffer => {
  const name = type === "directory" ? `${path}/` : path;
  const mode = executable || type === "directory" ? 0o755 : 0o644;
  const flag = type === "directory" ? "5" : "0";
  if (ASCII.test(name) && name.length <= FIELDS.name[1]) return block(name, flag, mode, size);
  const record = paxRecord(name);
  return Buffer.concat([
    block(PAX_NAME, "x", 0o644, record.length),
    record,
    padding(record.length),
    block(PAX_NAME, flag, mode, size),
  ]);
};
