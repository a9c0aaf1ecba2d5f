import { s3Error, type S3Error } from "../s3-error.ts";
import type { RequestFields } from "./request-fields.ts";
import type { Query } from "./request-target.ts";
import { ALGORITHM, type Scope, SERVICE, TERMINATOR } from "./signature.ts";

/** Who a request says that it is from, and what it offers as proof. Nothing of it is checked but its form. */
export interface Claim {
  readonly accessKey: string;
  readonly scope: Scope;
  /** When it was signed: `20261129T093042Z`. */
  readonly time: string;
  /** In lower case, in the order in which they were signed. */
  readonly signedNames: readonly string[];
  /** 64 hexadecimal digits. */
  readonly signature: string;
  /** For how long after `time` it may be used; absent if the signature is in the header. */
  readonly expiresSec?: number;
}

/** S3 lets presigned requests live for a week at most. */
const MOST_EXPIRES_SEC = 604_800;

/** Reads the claim from the header or, presigned, from the query; undefined if there is none: the request is anonymous. */
export const readClaim = (fields: RequestFields, query: Query): Claim | undefined => {
  const authorizations = fields.all("authorization");
  const presigned = query.has("X-Amz-Signature") || query.has("X-Amz-Algorithm");
  if (authorizations.length + Number(presigned) > 1)
    throw s3Error("InvalidRequest", "Only one kind of authorization can be used in a request.");
  if (presigned) return presignedClaim(query);
  const [authorization] = authorizations;
  if (authorization !== undefined) return headerClaim(authorization, fields.get("x-amz-date"));
  // Signature version 2, presigned.
  if (query.has("Signature") && query.has("AWSAccessKeyId")) throw s3Error("UnsupportedSignature");
  return undefined;
};

const headerMalformed = (what: string): S3Error =>
  s3Error("AuthorizationHeaderMalformed", `The Authorization header is malformed: ${what}.`);

const queryMalformed = (what: string): S3Error =>
  s3Error("AuthorizationQueryParametersError", `The X-Amz- parameters of the query are malformed: ${what}.`);

const headerClaim = (authorization: string, time: string | undefined): Claim => {
  const malformed = headerMalformed;
  const at = authorization.indexOf(" ");
  if (authorization.slice(0, at) !== ALGORITHM) throw s3Error("UnsupportedSignature");
  const parts = new Map<string, string>();
  for (const part of authorization.slice(at + 1).split(",")) {
    const [name = "", ...value] = part.trim().split("=");
    if (parts.has(name)) throw malformed("a part of it is there twice");
    parts.set(name, value.join("="));
  }
  if (time === undefined) throw s3Error("MissingSecurityHeader", "The header field x-amz-date is missing.");
  return makeClaim(
    {
      credential: parts.get("Credential"),
      signedNames: parts.get("SignedHeaders"),
      signature: parts.get("Signature"),
      time,
    },
    malformed,
  );
};

const presignedClaim = (query: Query): Claim => {
  const malformed = queryMalformed;
  const once = (name: string): string | undefined => {
    const values = query.pairs.filter(([candidate]) => candidate === name);
    if (values.length > 1) throw malformed(`${name} is there twice`);
    return values[0]?.[1];
  };
  if (once("X-Amz-Algorithm") !== ALGORITHM) throw malformed(`X-Amz-Algorithm must be ${ALGORITHM}`);
  const expires = once("X-Amz-Expires") ?? "";
  const expiresSec = /^\d{1,6}$/u.test(expires) ? Number(expires) : 0;
  if (expiresSec < 1 || expiresSec > MOST_EXPIRES_SEC)
    throw malformed(`X-Amz-Expires must be a number of seconds from 1 to ${MOST_EXPIRES_SEC}`);
  const claim = makeClaim(
    {
      credential: once("X-Amz-Credential"),
      signedNames: once("X-Amz-SignedHeaders"),
      signature: once("X-Amz-Signature"),
      time: once("X-Amz-Date"),
    },
    malformed,
  );
  return { ...claim, expiresSec };
};

interface Texts {
  readonly credential: string | undefined;
  readonly signedNames: string | undefined;
  readonly signature: string | undefined;
  readonly time: string | undefined;
}

const makeClaim = (texts: Texts, malformed: (what: string) => S3Error): Claim => {
  const { credential = "", signedNames: names = "", signature = "", time = "" } = texts;
  // An access key may have slashes in it; what follows it has not.
  const parts = credential.split("/");
  const [date = "", region = "", service = "", terminator = ""] = parts.slice(-4);
  const accessKey = parts.slice(0, -4).join("/");
  if (accessKey === "" || terminator !== TERMINATOR)
    throw malformed(`the credential must be ACCESS_KEY/DATE/REGION/${SERVICE}/${TERMINATOR}`);
  if (service !== SERVICE) throw malformed(`the credential must be for the service ${SERVICE}`);
  if (!/^[0-9a-f]{64}$/u.test(signature)) throw malformed("the signature must be 64 hexadecimal digits");
  if (!/^\d{8}T\d{6}Z$/u.test(time)) throw malformed("the date must have the form 20261129T093042Z");
  if (date !== time.slice(0, 8)) throw malformed("the credential is for another day than the request's");
  const signedNames = names.split(";");
  if (!signedNames.every((name) => /^[a-z0-9!#$%&'*+.^_`|~-]+$/u.test(name)))
    throw malformed("the signed headers must be lower-case names, separated by semicolons");
  if (new Set(signedNames).size < signedNames.length) throw malformed("a signed header is named twice");
  return { accessKey, scope: { date, region }, time, signedNames, signature };
};
