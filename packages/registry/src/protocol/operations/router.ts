import { s3Error } from "../../s3-error.ts";
import type { RequestFields } from "../request-fields.ts";
import type { RequestTarget } from "../request-target.ts";
import { BUCKET_OPERATIONS } from "./buckets.ts";
import { BULK_OPERATIONS } from "./bulk-delete.ts";
import { COPY_OPERATIONS } from "./copies.ts";
import { LISTING_OPERATIONS } from "./listing.ts";
import { MULTIPART_OPERATIONS } from "./multipart.ts";
import { OBJECT_OPERATIONS } from "./objects.ts";
import type { Operation } from "./operation.ts";
import { SETTINGS_OPERATIONS } from "./settings.ts";

/** Everything that this server does. */
export const OPERATIONS: readonly Operation[] = [
  ...BUCKET_OPERATIONS,
  ...SETTINGS_OPERATIONS,
  ...LISTING_OPERATIONS,
  ...BULK_OPERATIONS,
  ...OBJECT_OPERATIONS,
  ...COPY_OPERATIONS,
  ...MULTIPART_OPERATIONS,
];

const levelOf = ({ bucket, key }: RequestTarget): Operation["on"] => {
  if (bucket === "") return "server";
  return key === "" ? "bucket" : "object";
};

/** How much of a request it is made for: the more, the better it fits. */
const weight = ({ query = [], field }: Operation): number => query.length + Number(field !== undefined);

/** Parameters that change nothing: the name of the operation, the signature, header fields in disguise. */
const isHarmless = (name: string): boolean => name === "x-id" || /^x-amz-/iu.test(name);

/** Who reads is not harmed by what is unknown, as long as it does not look like the name of something else: `?attributes`. */
const isIgnored = (method: string, name: string, value: string): boolean =>
  (method === "GET" || method === "HEAD") && value !== "" && name !== "partNumber";

/**
 * Which operation a request asks for. A parameter that it does not take makes the request another one, which this server does not do:
 * `DELETE /bucket?lifecycle` must not delete the bucket. Fails with MethodNotAllowed, NotImplemented or InvalidRequest.
 */
export const route = (method: string, target: RequestTarget, fields: RequestFields): Operation => {
  const level = levelOf(target);
  const candidates = OPERATIONS.filter((operation) => operation.on === level && operation.method === method);
  if (candidates.length === 0) throw s3Error("MethodNotAllowed");
  const [found] = candidates
    .filter(
      ({ query = [], field }) =>
        query.every((name) => target.query.has(name)) &&
        (field === undefined || fields.get(field) !== undefined),
    )
    .sort((a, b) => weight(b) - weight(a));
  if (found === undefined) throw s3Error("NotImplemented");
  const taken = new Set([...(found.query ?? []), ...(found.takes ?? [])]);
  const stranger = target.query.pairs.find(
    ([name, value]) => !taken.has(name) && !isHarmless(name) && !isIgnored(method, name, value),
  );
  if (stranger !== undefined)
    throw s3Error(
      "NotImplemented",
      `${found.name} does not take the parameter ${JSON.stringify(stranger[0]).slice(0, 80)} here.`,
    );
  if (found.field === undefined && fields.get("x-amz-copy-source") !== undefined)
    throw s3Error("InvalidRequest", `${found.name} does not take x-amz-copy-source.`);
  return found;
};
