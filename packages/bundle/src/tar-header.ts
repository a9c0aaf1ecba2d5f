import { badArchive } from "./packed-fault.ts";
import { checksumOf, FIELDS, GNU_MAGIC, USTAR_MAGIC } from "./tar-format.ts";

/** What a bundle's reader wants to know of a header; owner and times are nobody's business. */
export interface TarHeader {
  readonly name: string;
  /** One character; "\0" is the old one for a file. */
  readonly type: string;
  readonly size: number;
  /** Whether anybody may execute it. */
  readonly executable: boolean;
}

// ignoreBOM, so that it is not dropped: the name would be another one.
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const ANY_EXECUTE = 0o111;
const DAMAGED = "has a damaged header, or is no tar archive; make it with tar -czf";

/** The text up to the first NUL. Fails with OL_BUNDLE_BAD_ARCHIVE if it is not UTF-8. */
export const decodeName = (bytes: Uint8Array): string => {
  const end = bytes.indexOf(0);
  try {
    return utf8.decode(end < 0 ? bytes : bytes.subarray(0, end));
  } catch (error) {
    throw badArchive("has a file name that is not UTF-8", error);
  }
};

const fieldOf = (block: Buffer, field: keyof typeof FIELDS): Buffer => {
  const [start, length] = FIELDS[field];
  return block.subarray(start, start + length);
};

/** An octal number, ended by blanks and NULs. Others (negative, base-256) are for what no bundle has. */
const numberIn = (block: Buffer, field: keyof typeof FIELDS): number => {
  const text = fieldOf(block, field).toString("latin1");
  const digits = /^ *(?<digits>[0-7]*)[ \0]*$/u.exec(text)?.groups?.["digits"];
  if (digits === undefined) throw badArchive(`has a header whose ${field} is no octal number`);
  return digits === "" ? 0 : Number.parseInt(digits, 8);
};

/** Reads a header's block. Fails with OL_BUNDLE_BAD_ARCHIVE. */
export const parseHeader = (block: Buffer): TarHeader => {
  const magic = fieldOf(block, "magic").toString("latin1");
  if (magic !== USTAR_MAGIC && magic !== GNU_MAGIC) throw badArchive(DAMAGED);
  if (numberIn(block, "checksum") !== checksumOf(block)) throw badArchive(DAMAGED);
  const name = decodeName(fieldOf(block, "name"));
  const prefix = magic === USTAR_MAGIC ? decodeName(fieldOf(block, "prefix")) : "";
  return {
    name: prefix === "" ? name : `${prefix}/${name}`,
    type: fieldOf(block, "type").toString("latin1"),
    size: numberIn(block, "size"),
    executable: (numberIn(block, "mode") & ANY_EXECUTE) !== 0,
  };
};
