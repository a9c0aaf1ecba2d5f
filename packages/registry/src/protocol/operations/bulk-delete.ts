import { isS3Error, s3Error } from "../../s3-error.ts";
import type { Preconditions } from "../../object-store.ts";
import type { Exchange } from "../exchange.ts";
import type { XmlNode } from "../xml-reader.ts";
import type { XmlElement } from "../xml-writer.ts";
import { checkBucket } from "./buckets.ts";
import type { Operation } from "./operation.ts";

/** S3's own limit. */
const MOST_KEYS = 1000;
/** Each waits for the disk; together they share its work. */
const AT_ONCE = 32;

interface Wanted {
  readonly key: string;
  readonly version: string | undefined;
  readonly conditions: Preconditions;
}

const readWanted = (node: XmlNode): Wanted => {
  const key = node.text("Key");
  if (key === undefined || key === "") throw s3Error("MalformedXML", "An Object has no Key.");
  const etag = node.text("ETag")?.replaceAll('"', "");
  return { key, version: node.text("VersionId"), conditions: etag === undefined ? {} : { ifMatch: [etag] } };
};

/** What became of one, for the reply. */
const deleteOne = async (
  { host, target }: Exchange,
  { key, version, conditions }: Wanted,
): Promise<XmlElement> => {
  try {
    if (version !== undefined && version !== "" && version !== "null") throw s3Error("NoSuchVersion");
    await host.store.delete(target.bucket, key, conditions);
    return ["Deleted", [["Key", key]]];
  } catch (error) {
    // Each key has an answer of its own. What is no S3Error is a fault of the server, and ends them all.
    if (!isS3Error(error)) throw error;
    return [
      "Error",
      [
        ["Key", key],
        ["Code", error.code],
        ["Message", error.message],
      ],
    ];
  }
};

const deleteObjects: Operation = {
  name: "DeleteObjects",
  needs: "write",
  on: "bucket",
  method: "POST",
  query: ["delete"],
  run: async (exchange) => {
    const request = await exchange.xml("Delete");
    checkBucket(exchange);
    const wanted = (request?.all("Object") ?? []).map(readWanted);
    if (wanted.length === 0 || wanted.length > MOST_KEYS)
      throw s3Error("MalformedXML", `There must be 1 to ${MOST_KEYS} objects.`);
    const quiet = request?.text("Quiet")?.trim() === "true";
    const done: XmlElement[] = [];
    for (let at = 0; at < wanted.length; at += AT_ONCE)
      done.push(
        ...(await Promise.all(wanted.slice(at, at + AT_ONCE).map((one) => deleteOne(exchange, one)))),
      );
    exchange.sendXml(200, ["DeleteResult", done.filter(([name]) => !quiet || name === "Error")]);
  },
};

export const BULK_OPERATIONS: readonly Operation[] = [deleteObjects];
