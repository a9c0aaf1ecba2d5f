import { badArchive, unsafeEntry } from "./packed-fault.ts";

/** What of a pax header decides where a file goes and how long it is. */
export interface PaxHeader {
  readonly path?: string;
  readonly size?: number;
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const MALFORMED = "has a malformed pax header";

interface Record {
  readonly key: string;
  readonly value: Uint8Array;
}

/** Takes records of the form `LENGTH KEY=VALUE\n` apart, LENGTH being that of the whole record. */
const recordsIn = (text: Buffer): Record[] => {
  const records: Record[] = [];
  for (let rest = text; rest.length > 0;) {
    const digits = /^(?<length>[1-9][0-9]{0,7}) /u.exec(rest.subarray(0, 9).toString("latin1"))?.groups?.[
      "length"
    ];
    const length = Number(digits);
    const start = (digits?.length ?? 0) + 1;
    if (digits === undefined || length > rest.length || length <= start || rest[length - 1] !== 0x0a)
      throw badArchive(MALFORMED);
    const record = rest.subarray(start, length - 1);
    const equals = record.indexOf("=");
    if (equals < 1) throw badArchive(MALFORMED);
    records.push({ key: record.toString("latin1", 0, equals), value: record.subarray(equals + 1) });
    rest = rest.subarray(length);
  }
  return records;
};

const textIn = (value: Uint8Array): string => {
  try {
    return utf8.decode(value);
  } catch (error) {
    throw badArchive("has a file name that is not UTF-8", error);
  }
};

/**
 * Reads a pax extended header; `name` is how messages call what it belongs to. Owner, times, attributes and comments
 * are passed over. Fails with OL_BUNDLE_BAD_ARCHIVE, and with OL_BUNDLE_UNSAFE_FILE for a sparse file, whose content
 * is not what follows.
 */
export const parsePax = (text: Buffer, name: string): PaxHeader => {
  const found = new Map<string, Uint8Array>();
  for (const { key, value } of recordsIn(text)) {
    if (key.startsWith("GNU.sparse.")) throw unsafeEntry(name, "is a sparse file; pack it without --sparse");
    if (key === "hdrcharset" && textIn(value) !== "ISO-IR 10646 2000 UTF-8")
      throw badArchive("has file names that are not UTF-8");
    if (key !== "path" && key !== "size") continue;
    if (found.has(key)) throw badArchive(`has a pax header with two values for ${key}`);
    found.set(key, value);
  }
  const [path, size] = [found.get("path"), found.get("size")];
  return {
    ...(path !== undefined && { path: textIn(path) }),
    ...(size !== undefined && { size: sizeIn(textIn(size)) }),
  };
};

const sizeIn = (text: string): number => {
  if (!/^[0-9]{1,15}$/u.test(text)) throw badArchive("has a pax header whose size is no number");
  return Number(text);
};
