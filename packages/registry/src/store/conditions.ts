import type { ObjectInfo, Preconditions } from "../object-store.ts";
import { s3Error } from "../s3-error.ts";

/**
 * Fails if the object that is there now, if any, is not as a write wants it: with PreconditionFailed, or NoSuchKey where `ifMatch`
 * meets none (as AWS answers it).
 */
export const checkPreconditions = (conditions: Preconditions, current: ObjectInfo | undefined): void => {
  const { ifMatch, ifNoneMatch } = conditions;
  if (ifMatch !== undefined) {
    if (current === undefined) throw s3Error("NoSuchKey");
    if (!names(ifMatch, current)) {
      throw s3Error("PreconditionFailed", undefined, { details: { Condition: "If-Match" } });
    }
  }
  if (ifNoneMatch !== undefined && current !== undefined && names(ifNoneMatch, current)) {
    throw s3Error("PreconditionFailed", undefined, { details: { Condition: "If-None-Match" } });
  }
};

const names = (etags: readonly string[], object: ObjectInfo): boolean =>
  etags.includes("*") || etags.includes(object.etag);
