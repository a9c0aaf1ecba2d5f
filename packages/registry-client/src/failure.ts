import { isOlError, messageOf, type OlError, systemReason } from "@ol/common";

import { registryClientError } from "./errors.ts";
import type { Connection } from "./options.ts";
import { Refusal } from "./refusal.ts";
import { LongAnswer, SlowStore } from "./transport.ts";

/** What was being done, as the middle of a sentence: "read the tag latest of hello". */
export type Doing = string;

const CERTIFICATE =
  /^(?:CERT_|DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT|UNABLE_TO_|ERR_TLS_CERT|HOSTNAME_MISMATCH)/u;

/** What went wrong on the way to the store, in words. */
const onTheWay = (
  { address }: Connection,
  error: Error,
): { code: "UNREACHABLE" | "BAD_ANSWER"; why: string } => {
  const code = "code" in error && typeof error.code === "string" ? error.code : "";
  if (error instanceof LongAnswer) return { code: "BAD_ANSWER", why: error.message };
  if (error instanceof SlowStore) return { code: "UNREACHABLE", why: error.message };
  if (code.startsWith("HPE_"))
    return {
      code: "BAD_ANSWER",
      why: `what answers there speaks no HTTP; is ${address} right, and not https?`,
    };
  if (CERTIFICATE.test(code))
    return {
      code: "UNREACHABLE",
      why: `its certificate is not trusted (${code}); name the file of its authority as registry_ca`,
    };
  if (code === "EPROTO" || code === "ERR_SSL_WRONG_VERSION_NUMBER")
    return {
      code: "UNREACHABLE",
      why: "what answers there speaks no TLS; is it http:// rather than https://?",
    };
  if (code === "ECONNREFUSED") return { code: "UNREACHABLE", why: "nothing listens there (ECONNREFUSED)" };
  if (code === "ENOTFOUND" || code === "EAI_AGAIN")
    return { code: "UNREACHABLE", why: `its name is not known (${code})` };
  // minio-js throws what an unexpected XML makes of its parser, of any kind.
  if (code === "") return { code: "BAD_ANSWER", why: "what it answered cannot be understood" };
  return { code: "UNREACHABLE", why: systemReason(error) };
};

/** The second is versitygw's, with status 404. */
const UNKNOWN_KEY = ["InvalidAccessKeyId", "XAdminUserNotFound"];

const denied = (refusal: Refusal): string => {
  if (UNKNOWN_KEY.includes(refusal.s3Code)) return "it does not know the access key";
  if (refusal.s3Code === "SignatureDoesNotMatch") return "the secret key is not that of the access key";
  if (refusal.s3Code === "AccessDenied" || refusal.s3Code === "AllAccessDisabled")
    return "these keys may not do that";
  // A HEAD has no body to say it in.
  return "it does not take the keys, or they may not do that";
};

const quoted = ({ status, s3Code, words }: Refusal): string =>
  [`${status} ${s3Code}`.trim(), words].filter((part) => part !== "").join(": ");

const REGION_CODES = [
  "AuthorizationHeaderMalformed",
  "PermanentRedirect",
  "TemporaryRedirect",
  "MovedPermanently",
];

const isElsewhere = ({ status, s3Code, region }: Refusal, configured: string): boolean =>
  status === 301 ||
  status === 307 ||
  REGION_CODES.includes(s3Code) ||
  (status === 400 && region !== undefined && region !== configured);

const refused = (connection: Connection, doing: Doing, refusal: Refusal): OlError => {
  const { address, bucket, region } = connection;
  const could = `could not ${doing}: the registry at ${address}`;
  const options = { cause: refusal, details: { status: refusal.status, code: refusal.s3Code } };
  if (refusal.s3Code === "RequestTimeTooSkewed")
    return registryClientError(
      "OL_REGISTRY_CLIENT_CLOCK",
      `${could} has another time: there it is ${refusal.date ?? "unknown"}, here ${new Date().toUTCString()}; set the wrong clock`,
      options,
    );
  if (isElsewhere(refusal, region))
    return registryClientError(
      "OL_REGISTRY_CLIENT_REGION",
      `${could} has bucket ${bucket} ${refusal.region === undefined ? "at another address" : `in region ${refusal.region}`}, not in ${region}; configure that`,
      options,
    );
  if (refusal.s3Code === "NoSuchBucket")
    return registryClientError("OL_REGISTRY_CLIENT_NO_BUCKET", `${could} has no bucket ${bucket}`, options);
  if (refusal.status === 401 || refusal.status === 403 || UNKNOWN_KEY.includes(refusal.s3Code))
    return registryClientError("OL_REGISTRY_CLIENT_DENIED", `${could} says that ${denied(refusal)}`, options);
  return registryClientError("OL_REGISTRY_CLIENT_REFUSED", `${could} answered ${quoted(refusal)}`, options);
};

/** The one error for whatever a request failed with; a signal's reason and what is an OlError already stay as they are. */
export const failureOf = (
  connection: Connection,
  doing: Doing,
  error: unknown,
  signal: AbortSignal,
): unknown => {
  if (signal.aborted) return signal.reason;
  if (isOlError(error)) return error;
  if (error instanceof Refusal) return refused(connection, doing, error);
  const cause = error instanceof Error ? error : new Error(messageOf(error));
  const { code, why } = onTheWay(connection, cause);
  return registryClientError(
    `OL_REGISTRY_CLIENT_${code}`,
    `could not ${doing}: the registry at ${connection.address} ${code === "UNREACHABLE" ? "cannot be reached" : "answers nonsense"}: ${why}`,
    { cause },
  );
};
