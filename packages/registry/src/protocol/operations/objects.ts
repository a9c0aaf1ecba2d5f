import { isS3Error, s3Error } from "../../s3-error.ts";
import type { ObjectInfo } from "../../object-store.ts";
import { readRange } from "../byte-range.ts";
import { checksumReply } from "../checksum-fields.ts";
import { checkReadConditions, rangeApplies, writeConditions } from "../conditions.ts";
import type { Exchange } from "../exchange.ts";
import {
  objectHeaders,
  overriddenHeaders,
  quoted,
  refuseUnsupported,
  storedHeaders,
  versionHeaders,
} from "../object-headers.ts";
import type { Operation } from "./operation.ts";

/** Objects have one version, which S3 calls `null`. Fails with NoSuchVersion for another. */
export const checkVersion = ({ target }: Exchange): void => {
  const version = target.query.get("versionId");
  if (version !== undefined && version !== "null" && version !== "") throw s3Error("NoSuchVersion");
};

const OVERRIDES = ["type", "language", "encoding", "disposition"].map((name) => `response-content-${name}`);
const READ_PARAMETERS = ["versionId", "response-expires", "response-cache-control", ...OVERRIDES];

/** Whether the conditions of a read hold; if the client has the object already, that is the whole answer. */
const wanted = (exchange: Exchange, info: ObjectInfo): boolean => {
  try {
    checkReadConditions(exchange.fields, info);
    return true;
  } catch (error) {
    if (!isS3Error(error, "NotModified")) throw error;
    exchange.send(304, "", versionHeaders(info));
    return false;
  }
};

/** The reply to a GET or HEAD of that object: status, header fields, and which bytes. */
const readReply = (
  { fields, target }: Exchange,
  info: ObjectInfo,
): {
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly range: ReturnType<typeof readRange>;
} => {
  const range = rangeApplies(fields, info) ? readRange(fields.get("range"), info.size) : undefined;
  const headers = { ...objectHeaders(info, fields, range === undefined), ...overriddenHeaders(target.query) };
  if (range === undefined)
    return { status: 200, headers: { ...headers, "Content-Length": String(info.size) }, range };
  const { start, end } = range;
  const part = {
    "Content-Range": `bytes ${start}-${end}/${info.size}`,
    "Content-Length": String(end - start + 1),
  };
  return { status: 206, headers: { ...headers, ...part }, range };
};

const getObject: Operation = {
  name: "GetObject",
  needs: "read",
  on: "object",
  method: "GET",
  takes: READ_PARAMETERS,
  run: async (exchange) => {
    checkVersion(exchange);
    const { bucket, key } = exchange.target;
    await using reader = await exchange.host.store.read(bucket, key);
    if (!wanted(exchange, reader.info)) return;
    const { status, headers, range } = readReply(exchange, reader.info);
    await exchange.sendStream(status, reader.stream(range), headers);
  },
};

const headObject: Operation = {
  name: "HeadObject",
  needs: "read",
  on: "object",
  method: "HEAD",
  takes: READ_PARAMETERS,
  run: (exchange) => {
    checkVersion(exchange);
    const { bucket, key } = exchange.target;
    const info = exchange.host.store.head(bucket, key);
    if (!wanted(exchange, info)) return;
    const { status, headers } = readReply(exchange, info);
    exchange.send(status, "", headers);
  },
};

const putObject: Operation = {
  name: "PutObject",
  needs: "write",
  on: "object",
  method: "PUT",
  run: async (exchange) => {
    const { fields, target, host } = exchange;
    refuseUnsupported(fields);
    const headers = storedHeaders(fields);
    const body = exchange.body();
    const [keep] = body.algorithms;
    const request = { headers, body, ...writeConditions(fields), ...(keep !== undefined && { keep }) };
    const info = await host.store.put(target.bucket, target.key, request, exchange.signal);
    exchange.send(200, "", { ETag: quoted(info.etag), ...checksumReply(info.checksum) });
  },
};

const deleteObject: Operation = {
  name: "DeleteObject",
  needs: "write",
  on: "object",
  method: "DELETE",
  takes: ["versionId"],
  run: async (exchange) => {
    checkVersion(exchange);
    const { bucket, key } = exchange.target;
    await exchange.host.store.delete(bucket, key, writeConditions(exchange.fields));
    exchange.send(204, "");
  },
};

export const OBJECT_OPERATIONS: readonly Operation[] = [getObject, headObject, putObject, deleteObject];
