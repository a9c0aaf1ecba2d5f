import { s3Error } from "../s3-error.ts";

/** Bytes of an object; both ends belong to it. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

const RANGE = /^bytes=(?<first>\d{0,15})-(?<last>\d{0,15})$/u;

/**
 * What a Range field asks for of an object of `size` bytes; undefined is all of it: without a field, for a form that
 * HTTP lets a server ignore, and for several ranges at once. Fails with InvalidRange if none of it is there.
 */
export const readRange = (field: string | undefined, size: number): ByteRange | undefined => {
  const { first, last } = RANGE.exec(field?.trim() ?? "")?.groups ?? {};
  if (first === undefined || last === undefined || (first === "" && last === "")) return undefined;
  if (first === "") return checked(Math.max(0, size - Number(last)), size - 1, size);
  if (last !== "" && Number(last) < Number(first)) return undefined;
  return checked(Number(first), last === "" ? size - 1 : Math.min(Number(last), size - 1), size);
};

const checked = (start: number, end: number, size: number): ByteRange => {
  if (start >= size)
    throw s3Error("InvalidRange", `The object has ${size} bytes, none of them in that range.`, {
      details: { ActualObjectSize: String(size) },
    });
  return { start, end };
};

/** The whole of a x-amz-copy-source-range, which must be there. Fails with InvalidArgument or InvalidRange. */
export const readCopyRange = (field: string, size: number): ByteRange => {
  const { first = "", last = "" } = RANGE.exec(field)?.groups ?? {};
  if (first === "" || last === "" || Number(last) < Number(first))
    throw s3Error("InvalidArgument", "x-amz-copy-source-range must have the form bytes=first-last.");
  if (Number(last) >= size) throw s3Error("InvalidRange", `The object has ${size} bytes only.`);
  return { start: Number(first), end: Number(last) };
};
