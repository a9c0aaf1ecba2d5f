import { type S3ErrorCode, s3Error } from "../../s3-error.ts";
import type { Exchange } from "../exchange.ts";
import type { XmlContent } from "../xml-writer.ts";
import { checkBucket } from "./buckets.ts";
import type { Operation } from "./operation.ts";
import { accessControl } from "./owner.ts";

// What clients ask about a bucket or an object before they do something with it. Nothing of it can be set.

const setting = (
  name: string,
  on: "bucket" | "object",
  query: string,
  answer: (exchange: Exchange) => void,
): Operation => ({
  name,
  needs: "read",
  on,
  method: "GET",
  query: [query],
  run: (exchange) => {
    checkBucket(exchange);
    if (on === "object") exchange.host.store.head(exchange.target.bucket, exchange.target.key);
    answer(exchange);
  },
});

/** The same for everybody. */
const fixed = (
  name: string,
  on: "bucket" | "object",
  query: string,
  root: string,
  content: XmlContent = "",
): Operation => setting(name, on, query, (exchange) => exchange.sendXml(200, [root, content]));

/** What is not there; clients tell by the code. */
const absent = (name: string, on: "bucket" | "object", query: string, code: S3ErrorCode): Operation =>
  setting(name, on, query, () => {
    throw s3Error(code);
  });

const acl = (name: string, on: "bucket" | "object"): Operation =>
  setting(name, on, "acl", (exchange) => exchange.sendXml(200, accessControl()));

/** S3 calls its first region by no name here. */
const FIRST_REGION = "us-east-1";

const location = setting("GetBucketLocation", "bucket", "location", (exchange) => {
  const { region } = exchange.host;
  exchange.sendXml(200, ["LocationConstraint", region === FIRST_REGION ? "" : region]);
});

export const SETTINGS_OPERATIONS: readonly Operation[] = [
  location,
  acl("GetBucketAcl", "bucket"),
  acl("GetObjectAcl", "object"),
  fixed("GetBucketVersioning", "bucket", "versioning", "VersioningConfiguration"),
  fixed("GetBucketNotificationConfiguration", "bucket", "notification", "NotificationConfiguration"),
  fixed("GetBucketLogging", "bucket", "logging", "BucketLoggingStatus"),
  fixed("GetBucketAccelerateConfiguration", "bucket", "accelerate", "AccelerateConfiguration"),
  fixed("GetBucketRequestPayment", "bucket", "requestPayment", "RequestPaymentConfiguration", [
    ["Payer", "BucketOwner"],
  ]),
  fixed("GetObjectTagging", "object", "tagging", "Tagging", [["TagSet", ""]]),
  absent("GetBucketPolicy", "bucket", "policy", "NoSuchBucketPolicy"),
  absent("GetBucketCors", "bucket", "cors", "NoSuchCORSConfiguration"),
  absent("GetBucketTagging", "bucket", "tagging", "NoSuchTagSet"),
  absent("GetObjectLockConfiguration", "bucket", "object-lock", "ObjectLockConfigurationNotFoundError"),
  absent("GetBucketLifecycle", "bucket", "lifecycle", "NoSuchLifecycleConfiguration"),
  absent("GetBucketEncryption", "bucket", "encryption", "ServerSideEncryptionConfigurationNotFoundError"),
  absent("GetBucketWebsite", "bucket", "website", "NoSuchWebsiteConfiguration"),
  absent("GetBucketReplication", "bucket", "replication", "ReplicationConfigurationNotFoundError"),
];
