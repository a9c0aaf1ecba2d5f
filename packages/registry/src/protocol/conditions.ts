import type { ObjectInfo, Preconditions } from "../object-store.ts";
import { s3Error } from "../s3-error.ts";
import { readHttpDate } from "./dates.ts";
import type { RequestFields } from "./request-fields.ts";

/** The ETags of a field, without quotes; `W/` makes no difference, since ours are never weak. */
const etagsOf = (field: string): readonly string[] =>
  field.split(",").flatMap((part) => {
    const etag = part
      .trim()
      .replace(/^W\//u, "")
      .replace(/^"(?<inside>.*)"$/u, "$<inside>");
    return etag === "" ? [] : [etag];
  });

/** When a write may go on. */
export const writeConditions = (fields: RequestFields): Preconditions => {
  const [match, noneMatch] = [fields.get("if-match"), fields.get("if-none-match")];
  return {
    ...(match !== undefined && { ifMatch: etagsOf(match) }),
    ...(noneMatch !== undefined && { ifNoneMatch: etagsOf(noneMatch) }),
  };
};

const isOneOf = (field: string, { etag }: ObjectInfo): boolean => {
  const etags = etagsOf(field);
  return etags.includes("*") || etags.includes(etag);
};

/** HTTP's dates know whole seconds. */
const isNewerThan = ({ modifiedMs }: ObjectInfo, field: string): boolean | undefined => {
  const ms = readHttpDate(field);
  return ms === undefined ? undefined : Math.floor(modifiedMs / 1000) > Math.floor(ms / 1000);
};

/** Fails with PreconditionFailed or NotModified, in the order of RFC 9110, 13.2.2. `prefix` is before the names of the fields. */
export const checkReadConditions = (fields: RequestFields, info: ObjectInfo, prefix = ""): void => {
  const match = fields.get(`${prefix}if-match`);
  const unmodifiedSince = fields.get(`${prefix}if-unmodified-since`);
  if (
    match === undefined
      ? unmodifiedSince !== undefined && isNewerThan(info, unmodifiedSince)
      : !isOneOf(match, info)
  )
    throw s3Error("PreconditionFailed");
  const noneMatch = fields.get(`${prefix}if-none-match`);
  const modifiedSince = fields.get(`${prefix}if-modified-since`);
  const unchanged =
    noneMatch === undefined
      ? modifiedSince !== undefined && isNewerThan(info, modifiedSince) === false
      : isOneOf(noneMatch, info);
  // A copy has nothing to show for an object that is the one the client has.
  if (unchanged) throw s3Error(prefix === "" ? "NotModified" : "PreconditionFailed");
};

/** Whether a Range is to be looked at: If-Range names the object as it is, or is not there. */
export const rangeApplies = (fields: RequestFields, info: ObjectInfo): boolean => {
  const field = fields.get("if-range");
  if (field === undefined) return true;
  return field.startsWith('"') ? isOneOf(field, info) : isNewerThan(info, field) === false;
};
