import type { ListPage, ObjectInfo } from "../../object-store.ts";
import { s3Error } from "../../s3-error.ts";
import { isoDate } from "../dates.ts";
import type { Exchange } from "../exchange.ts";
import { quoted } from "../object-headers.ts";
import { percentEncodePath } from "../percent.ts";
import type { Query } from "../request-target.ts";
import type { XmlElement } from "../xml-writer.ts";
import { checkBucket } from "./buckets.ts";
import type { Operation } from "./operation.ts";
import { ownerElement } from "./owner.ts";

/** S3's own limit. */
const MOST_KEYS = 1000;

/** Reads a number of things to list. Fails with InvalidArgument. */
export const readLimit = (query: Query, name: string): number => {
  const text = query.get(name) ?? "";
  if (text === "") return MOST_KEYS;
  if (!/^\d{1,10}$/u.test(text))
    throw s3Error("InvalidArgument", `${name} must be a number that is not negative.`);
  return Math.min(MOST_KEYS, Number(text));
};

/** How keys are written: as they are, or, if the client wants, so that XML can carry each. Fails with InvalidArgument. */
export const keyWriter = (query: Query): ((key: string) => string) => {
  const encoding = query.get("encoding-type") ?? "";
  if (encoding !== "" && encoding !== "url")
    throw s3Error("InvalidArgument", "encoding-type can only be url.");
  return encoding === "" ? (key) => key : percentEncodePath;
};

/** What is shown of an object. */
const contents = (info: ObjectInfo, write: (key: string) => string, owner: boolean): XmlElement => [
  "Contents",
  [
    ["Key", write(info.key)],
    ["LastModified", isoDate(info.modifiedMs)],
    ["ETag", quoted(info.etag)],
    info.checksum && ["ChecksumAlgorithm", info.checksum.algorithm.toUpperCase()],
    info.checksum && ["ChecksumType", info.checksum.type],
    ["Size", info.size],
    ["StorageClass", "STANDARD"],
    owner ? ownerElement() : undefined,
  ],
];

interface Listing {
  readonly prefix: string;
  readonly delimiter: string;
  readonly limit: number;
  readonly page: ListPage;
  readonly write: (key: string) => string;
}

const list = (exchange: Exchange, after: string): Listing => {
  const { query, bucket } = exchange.target;
  checkBucket(exchange);
  const write = keyWriter(query);
  const [prefix, delimiter] = [query.get("prefix") ?? "", query.get("delimiter") ?? ""];
  const limit = readLimit(query, "max-keys");
  const page = exchange.host.store.list(bucket, { prefix, delimiter, after, limit });
  return { prefix, delimiter, limit, page, write };
};

/** What both versions have in common. */
const common = (
  exchange: Exchange,
  { prefix, delimiter, limit, page, write }: Listing,
): readonly (XmlElement | undefined)[] => [
  ["Name", exchange.target.bucket],
  ["Prefix", write(prefix)],
  delimiter === "" ? undefined : ["Delimiter", write(delimiter)],
  ["MaxKeys", limit],
  exchange.target.query.get("encoding-type") ? ["EncodingType", "url"] : undefined,
  ["IsTruncated", page.next !== undefined],
];

const prefixes = ({ page, write }: Listing): readonly XmlElement[] =>
  page.commonPrefixes.map((prefix) => ["CommonPrefixes", [["Prefix", write(prefix)]]]);

const listObjects: Operation = {
  name: "ListObjects",
  needs: "read",
  on: "bucket",
  method: "GET",
  takes: ["prefix", "delimiter", "marker", "max-keys", "encoding-type"],
  run: (exchange) => {
    const marker = exchange.target.query.get("marker") ?? "";
    const listing = list(exchange, marker);
    const { page, write } = listing;
    exchange.sendXml(200, [
      "ListBucketResult",
      [
        ...common(exchange, listing),
        ["Marker", write(marker)],
        page.next === undefined ? undefined : ["NextMarker", write(page.next)],
        ...page.objects.map((info) => contents(info, write, true)),
        ...prefixes(listing),
      ],
    ]);
  },
};

/** A token is where the next page begins, in a form that no client takes apart. */
const tokenOf = (after: string): string => Buffer.from(after).toString("base64url");

const readToken = (token: string): string => {
  const after = Buffer.from(token, "base64url").toString();
  if (token === "" || tokenOf(after) !== token)
    throw s3Error("InvalidArgument", "The continuation token is none of this server.");
  return after;
};

const listObjectsV2: Operation = {
  name: "ListObjectsV2",
  needs: "read",
  on: "bucket",
  method: "GET",
  query: ["list-type"],
  takes: [
    "prefix",
    "delimiter",
    "start-after",
    "continuation-token",
    "max-keys",
    "encoding-type",
    "fetch-owner",
  ],
  run: (exchange) => {
    const { query } = exchange.target;
    if (query.get("list-type") !== "2") throw s3Error("InvalidArgument", "list-type can only be 2.");
    const [token, startAfter] = [query.get("continuation-token"), query.get("start-after")];
    const listing = list(exchange, token === undefined ? (startAfter ?? "") : readToken(token));
    const { page, write } = listing;
    exchange.sendXml(200, [
      "ListBucketResult",
      [
        ...common(exchange, listing),
        ["KeyCount", page.objects.length + page.commonPrefixes.length],
        token === undefined ? undefined : ["ContinuationToken", token],
        page.next === undefined ? undefined : ["NextContinuationToken", tokenOf(page.next)],
        startAfter === undefined ? undefined : ["StartAfter", write(startAfter)],
        ...page.objects.map((info) => contents(info, write, query.get("fetch-owner") === "true")),
        ...prefixes(listing),
      ],
    ]);
  },
};

export const LISTING_OPERATIONS: readonly Operation[] = [listObjects, listObjectsV2];
