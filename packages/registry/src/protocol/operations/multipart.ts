import type { Checksum, ChecksumAlgorithm } from "../../object-store.ts";
import { s3Error } from "../../s3-error.ts";
import type { NamedPart } from "../../store/multipart.ts";
import type { PartInfo, UploadInfo } from "../../store/upload.ts";
import { readCopyRange } from "../byte-range.ts";
import { CHECKSUM_ALGORITHMS, checksumReply, readAlgorithm, wholeChecksum } from "../checksum-fields.ts";
import { checkReadConditions, writeConditions } from "../conditions.ts";
import { isoDate } from "../dates.ts";
import type { Exchange } from "../exchange.ts";
import { quoted, refuseUnsupported, storedHeaders } from "../object-headers.ts";
import type { RequestFields } from "../request-fields.ts";
import type { XmlNode } from "../xml-reader.ts";
import type { XmlElement } from "../xml-writer.ts";
import { checkBucket } from "./buckets.ts";
import { readCopySource } from "./copy-source.ts";
import { keyWriter, readLimit } from "./listing.ts";
import type { Operation } from "./operation.ts";
import { ownerElement } from "./owner.ts";

/** S3's own limit. */
const MOST_PARTS = 10_000;

const uploadIdOf = ({ target }: Exchange): string => target.query.get("uploadId") ?? "";

/** Fails with InvalidArgument. */
const readPartNumber = (text: string | undefined): number => {
  const number = /^\d{1,5}$/u.test(text ?? "") ? Number(text) : 0;
  if (number < 1 || number > MOST_PARTS)
    throw s3Error("InvalidArgument", `A part's number must be from 1 to ${MOST_PARTS}.`);
  return number;
};

const readChecksumType = (fields: RequestFields): Checksum["type"] | undefined => {
  const type = fields.get("x-amz-checksum-type");
  if (type === undefined || type === "FULL_OBJECT" || type === "COMPOSITE") return type;
  throw s3Error("InvalidArgument", "x-amz-checksum-type must be FULL_OBJECT or COMPOSITE.");
};

const readUploadAlgorithm = (fields: RequestFields): ChecksumAlgorithm | undefined => {
  const text = fields.get("x-amz-checksum-algorithm");
  return text === undefined ? undefined : readAlgorithm(text);
};

/** The elements that every answer about one upload begins with. */
const uploadElements = ({ target }: Exchange, uploadId: string): readonly XmlElement[] => [
  ["Bucket", target.bucket],
  ["Key", target.key],
  ["UploadId", uploadId],
];

const createUpload: Operation = {
  name: "CreateMultipartUpload",
  needs: "write",
  on: "object",
  method: "POST",
  query: ["uploads"],
  run: async (exchange) => {
    const { fields, target, host } = exchange;
    refuseUnsupported(fields);
    const [algorithm, checksumType] = [readUploadAlgorithm(fields), readChecksumType(fields)];
    const uploadId = await host.store.createUpload(target.bucket, target.key, {
      headers: storedHeaders(fields),
      ...(algorithm !== undefined && { algorithm }),
      ...(checksumType !== undefined && { checksumType }),
    });
    exchange.sendXml(200, ["InitiateMultipartUploadResult", uploadElements(exchange, uploadId)], {
      ...(algorithm !== undefined && { "x-amz-checksum-algorithm": algorithm.toUpperCase() }),
      ...(checksumType !== undefined && { "x-amz-checksum-type": checksumType }),
    });
  },
};

const uploadPart: Operation = {
  name: "UploadPart",
  needs: "write",
  on: "object",
  method: "PUT",
  query: ["partNumber", "uploadId"],
  run: async (exchange) => {
    const { bucket, key, query } = exchange.target;
    const partNumber = readPartNumber(query.get("partNumber"));
    const body = exchange.body();
    const { store } = exchange.host;
    const part = await store.putPart(bucket, key, uploadIdOf(exchange), partNumber, body, exchange.signal);
    exchange.send(200, "", { ETag: quoted(part.etag), ...checksumReply(part.checksum) });
  },
};

const copyPart: Operation = {
  name: "UploadPartCopy",
  needs: "write",
  on: "object",
  method: "PUT",
  query: ["partNumber", "uploadId"],
  field: "x-amz-copy-source",
  run: async (exchange) => {
    const { fields, target, host } = exchange;
    const partNumber = readPartNumber(target.query.get("partNumber"));
    const source = readCopySource(exchange);
    const info = host.store.head(source.bucket, source.key);
    checkReadConditions(fields, info, "x-amz-copy-source-");
    const field = fields.get("x-amz-copy-source-range");
    const part = await host.store.copyPart(
      { ...source, ...(field !== undefined && { range: readCopyRange(field, info.size) }) },
      { bucket: target.bucket, key: target.key, uploadId: uploadIdOf(exchange), partNumber },
      exchange.signal,
    );
    exchange.sendXml(200, [
      "CopyPartResult",
      [
        ["LastModified", isoDate(part.modifiedMs)],
        ["ETag", quoted(part.etag)],
      ],
    ]);
  },
};

const checksumElement = (algorithm: ChecksumAlgorithm): string => `Checksum${algorithm.toUpperCase()}`;

const CHECKSUM_ELEMENTS = CHECKSUM_ALGORITHMS.map(checksumElement);

const partElement = ({ partNumber, modifiedMs, etag, size, checksum }: PartInfo): XmlElement => [
  "Part",
  [
    ["PartNumber", partNumber],
    ["LastModified", isoDate(modifiedMs)],
    ["ETag", quoted(etag)],
    ["Size", size],
    checksum && [checksumElement(checksum.algorithm), checksum.value],
  ],
];

/** How an upload's object and parts are checked, if they are. */
const checksumKind = ({ algorithm, checksumType }: UploadInfo): readonly XmlElement[] =>
  algorithm === undefined
    ? []
    : [
        ["ChecksumAlgorithm", algorithm.toUpperCase()],
        ["ChecksumType", checksumType],
      ];

const listParts: Operation = {
  name: "ListParts",
  needs: "read",
  on: "object",
  method: "GET",
  query: ["uploadId"],
  takes: ["max-parts", "part-number-marker", "encoding-type"],
  run: (exchange) => {
    const { bucket, key, query } = exchange.target;
    const uploadId = uploadIdOf(exchange);
    const marker = query.get("part-number-marker") ?? "0";
    if (!/^\d{1,9}$/u.test(marker)) throw s3Error("InvalidArgument", "part-number-marker must be a number.");
    const limit = readLimit(query, "max-parts");
    const write = keyWriter(query);
    const { store } = exchange.host;
    const { upload, parts, next } = store.listParts(bucket, key, uploadId, Number(marker), limit);
    exchange.sendXml(200, [
      "ListPartsResult",
      [
        ["Bucket", bucket],
        ["Key", write(key)],
        ["UploadId", uploadId],
        ownerElement("Initiator"),
        ownerElement(),
        ["StorageClass", "STANDARD"],
        ["PartNumberMarker", Number(marker)],
        next === undefined ? undefined : ["NextPartNumberMarker", next],
        ["MaxParts", limit],
        ["IsTruncated", next !== undefined],
        ...checksumKind(upload),
        ...parts.map(partElement),
      ],
    ]);
  },
};

const listUploads: Operation = {
  name: "ListMultipartUploads",
  needs: "read",
  on: "bucket",
  method: "GET",
  query: ["uploads"],
  takes: ["prefix", "delimiter", "key-marker", "upload-id-marker", "max-uploads", "encoding-type"],
  run: (exchange) => {
    checkBucket(exchange);
    const { bucket, query } = exchange.target;
    const write = keyWriter(query);
    const [prefix, delimiter, afterKey, afterId] = [
      "prefix",
      "delimiter",
      "key-marker",
      "upload-id-marker",
    ].map((name) => query.get(name) ?? "") as [string, string, string, string];
    const limit = readLimit(query, "max-uploads");
    const request = { prefix, delimiter, afterKey, limit, ...(afterId !== "" && { afterId }) };
    const { uploads, commonPrefixes, next } = exchange.host.store.listUploads(bucket, request);
    exchange.sendXml(200, [
      "ListMultipartUploadsResult",
      [
        ["Bucket", bucket],
        ["KeyMarker", write(afterKey)],
        ["UploadIdMarker", afterId],
        ["Prefix", write(prefix)],
        delimiter === "" ? undefined : ["Delimiter", write(delimiter)],
        ["MaxUploads", limit],
        query.get("encoding-type") ? ["EncodingType", "url"] : undefined,
        ["IsTruncated", next !== undefined],
        next && ["NextKeyMarker", write(next.key)],
        next && ["NextUploadIdMarker", next.id ?? ""],
        ...uploads.map((upload) => uploadElement(upload, write)),
        ...commonPrefixes.map((common): XmlElement => ["CommonPrefixes", [["Prefix", write(common)]]]),
      ],
    ]);
  },
};

const uploadElement = (upload: UploadInfo, write: (key: string) => string): XmlElement => [
  "Upload",
  [
    ["Key", write(upload.key)],
    ["UploadId", upload.id],
    ownerElement("Initiator"),
    ownerElement(),
    ["StorageClass", "STANDARD"],
    ["Initiated", isoDate(upload.startedMs)],
    ...checksumKind(upload),
  ],
];

const readPart = (node: XmlNode): NamedPart => {
  const [number, etag] = [node.text("PartNumber")?.trim(), node.text("ETag")?.trim()];
  if (number === undefined || etag === undefined)
    throw s3Error("MalformedXML", "A Part has no PartNumber or no ETag.");
  const [checksum] = CHECKSUM_ELEMENTS.flatMap((name) => node.text(name)?.trim() ?? []);
  return {
    partNumber: readPartNumber(number),
    etag: etag.replaceAll('"', ""),
    ...(checksum !== undefined && { checksumValue: checksum }),
  };
};

const completeUpload: Operation = {
  name: "CompleteMultipartUpload",
  needs: "write",
  on: "object",
  method: "POST",
  query: ["uploadId"],
  run: async (exchange) => {
    const { fields, target, host } = exchange;
    // A checksum in the header is that of the whole object, and not of this document.
    const document = await exchange.xml("CompleteMultipartUpload", false);
    const parts = (document?.all("Part") ?? []).map(readPart);
    if (parts.length === 0 || parts.length > MOST_PARTS)
      throw s3Error("MalformedXML", `There must be 1 to ${MOST_PARTS} parts.`);
    const info = await host.store.completeUpload(
      target.bucket,
      target.key,
      uploadIdOf(exchange),
      parts,
      writeConditions(fields),
      wholeChecksum(fields)?.value,
      exchange.signal,
    );
    const { checksum } = info;
    exchange.sendXml(200, [
      "CompleteMultipartUploadResult",
      [
        ["Location", `/${target.bucket}/${target.key}`],
        ["Bucket", target.bucket],
        ["Key", target.key],
        ["ETag", quoted(info.etag)],
        checksum && [checksumElement(checksum.algorithm), checksum.value],
        checksum && ["ChecksumType", checksum.type],
      ],
    ]);
  },
};

const abortUpload: Operation = {
  name: "AbortMultipartUpload",
  needs: "write",
  on: "object",
  method: "DELETE",
  query: ["uploadId"],
  run: async (exchange) => {
    const { bucket, key } = exchange.target;
    await exchange.host.store.abortUpload(bucket, key, uploadIdOf(exchange));
    exchange.send(204, "");
  },
};

export const MULTIPART_OPERATIONS: readonly Operation[] = [
  createUpload,
  uploadPart,
  copyPart,
  listParts,
  listUploads,
  completeUpload,
  abortUpload,
];
