import { s3Error } from "../../s3-error.ts";
import type { Exchange } from "../exchange.ts";
import { readTarget } from "../request-target.ts";

export interface CopySource {
  readonly bucket: string;
  readonly key: string;
}

/** Reads x-amz-copy-source: BUCKET/KEY, percent-encoded, with a slash before it or none. Fails with InvalidArgument or NoSuchVersion. */
export const readCopySource = ({ fields }: Exchange): CopySource => {
  const text = fields.get("x-amz-copy-source") ?? "";
  // Some clients encode the slash between the two as well.
  const path = text.startsWith("/") || /^%2f/iu.test(text) ? text : `/${text}`;
  const { bucket, key, query } = readTarget(path.replace(/^%2f/iu, "/"));
  if (bucket === "" || key === "")
    throw s3Error("InvalidArgument", "x-amz-copy-source must have the form BUCKET/KEY.");
  const version = query.get("versionId") ?? "null";
  if (version !== "null" && version !== "") throw s3Error("NoSuchVersion");
  return { bucket, key };
};
