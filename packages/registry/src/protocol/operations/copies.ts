import { s3Error } from "../../s3-error.ts";
import { checkReadConditions, writeConditions } from "../conditions.ts";
import { isoDate } from "../dates.ts";
import type { Exchange } from "../exchange.ts";
import { quoted, refuseUnsupported, storedHeaders } from "../object-headers.ts";
import { readCopySource } from "./copy-source.ts";
import type { Operation } from "./operation.ts";

/** Whether the copy gets header fields of its own rather than those of its source. */
const replacesHeaders = ({ fields }: Exchange): boolean => {
  const directive = fields.get("x-amz-metadata-directive") ?? "COPY";
  if (directive !== "COPY" && directive !== "REPLACE")
    throw s3Error("InvalidArgument", "x-amz-metadata-directive must be COPY or REPLACE.");
  return directive === "REPLACE";
};

const copyObject: Operation = {
  name: "CopyObject",
  needs: "write",
  on: "object",
  method: "PUT",
  field: "x-amz-copy-source",
  run: async (exchange) => {
    const { fields, target, host } = exchange;
    refuseUnsupported(fields);
    const source = readCopySource(exchange);
    const replaces = replacesHeaders(exchange);
    if (!replaces && source.bucket === target.bucket && source.key === target.key)
      throw s3Error("InvalidRequest", "An object can be copied onto itself only to replace its metadata.");
    checkReadConditions(fields, host.store.head(source.bucket, source.key), "x-amz-copy-source-");
    const info = await host.store.copy(
      source,
      { bucket: target.bucket, key: target.key },
      { ...(replaces && { headers: storedHeaders(fields) }), conditions: writeConditions(fields) },
      exchange.signal,
    );
    exchange.sendXml(200, [
      "CopyObjectResult",
      [
        ["LastModified", isoDate(info.modifiedMs)],
        ["ETag", quoted(info.etag)],
      ],
    ]);
  },
};

export const COPY_OPERATIONS: readonly Operation[] = [copyObject];
