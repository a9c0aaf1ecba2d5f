import { s3Error } from "../s3-error.ts";
import { ChunkSigner } from "./chunk-signer.ts";
import { type Claim, readClaim } from "./claim.ts";
import { readAmzDate } from "./dates.ts";
import { type Payload, readPayload, UNSIGNED_PAYLOAD } from "./payload.ts";
import { percentEncodePath } from "./percent.ts";
import type { RequestFields } from "./request-fields.ts";
import type { RequestTarget } from "./request-target.ts";
import { canonicalRequest, sameHex, signatureOf, type Scope, signingKey, stringToSign } from "./signature.ts";

/** What the holder of a key pair may do: everything; everything but making and deleting buckets; or read. */
export type Role = "admin" | "upload" | "read";

/** A pair of keys, and what it is good for. */
export interface KeyPair {
  readonly accessKey: string;
  readonly secretKey: string;
  readonly role: Role;
}

/** A request, as far as its signature is concerned. */
export interface SignedRequest {
  readonly method: string;
  readonly target: RequestTarget;
  readonly fields: RequestFields;
}

/** What is known of a request whose signature was right. */
export interface Authenticated {
  readonly role: Role;
  readonly payload: Payload;
  /** Of a body in signed chunks. */
  readonly chunks?: ChunkSigner;
}

/** Fifteen minutes, as S3 has it. */
const MOST_SKEW_MS = 900_000;
/** Enough for each pair of keys today and yesterday; more is a client with many regions or dates. */
const MOST_SIGNING_KEYS = 64;

/** Finds out who a request is from, by AWS signature version 4 in its header or its query. */
export class Authenticator {
  readonly #pairs: ReadonlyMap<string, KeyPair>;
  readonly #region: string;
  readonly #now: () => number;
  /** By access key and scope: four hashes that are the same all day. */
  readonly #signingKeys = new Map<string, Buffer>();

  constructor(pairs: readonly KeyPair[], region: string, now: () => number = Date.now) {
    this.#pairs = new Map(pairs.map((pair) => [pair.accessKey, pair]));
    this.#region = region;
    this.#now = now;
  }

  /** Whether a request says who it is from. */
  static isAnonymous({ fields, target }: Pick<SignedRequest, "fields" | "target">): boolean {
    return readClaim(fields, target.query) === undefined;
  }

  /**
   * Fails with AccessDenied for an anonymous or expired request, and with InvalidAccessKeyId, SignatureDoesNotMatch, RequestTimeTooSkewed
   * or what is wrong with the form of the signature.
   */
  authenticate(request: SignedRequest): Authenticated {
    const { fields, target } = request;
    const claim = readClaim(fields, target.query);
    if (claim === undefined)
      throw s3Error("AccessDenied", "Requests must be signed by a key pair of this server.");
    this.#checkScope(claim);
    this.#checkTime(claim);
    checkSignedNames(claim, fields);
    const pair = this.#pairs.get(claim.accessKey);
    if (pair === undefined) throw s3Error("InvalidAccessKeyId");
    const payloadHash = payloadHashOf(request, claim);
    const key = this.#signingKey(pair, claim.scope);
    if (!signs(key, claim, request, payloadHash)) throw s3Error("SignatureDoesNotMatch");
    const payload = readPayload(payloadHash);
    const chunks =
      payload.kind === "chunked" && payload.signed
        ? new ChunkSigner(key, claim.time, claim.scope, claim.signature)
        : undefined;
    return { role: pair.role, payload, ...(chunks !== undefined && { chunks }) };
  }

  #checkScope({ scope, expiresSec }: Claim): void {
    if (scope.region === this.#region) return;
    throw s3Error(
      expiresSec === undefined ? "AuthorizationHeaderMalformed" : "AuthorizationQueryParametersError",
      `The signature is for another region than ${this.#region}.`,
      { details: { Region: this.#region } },
    );
  }

  #checkTime({ time, expiresSec }: Claim): void {
    const signedMs = readAmzDate(time);
    if (signedMs === undefined) throw s3Error("AccessDenied", "The request's date is none.");
    const ageMs = this.#now() - signedMs;
    if (expiresSec === undefined) {
      if (Math.abs(ageMs) > MOST_SKEW_MS) throw s3Error("RequestTimeTooSkewed");
    } else if (ageMs < -MOST_SKEW_MS)
      throw s3Error("AccessDenied", "The presigned request is not valid yet.");
    else if (ageMs > expiresSec * 1000) throw s3Error("AccessDenied", "The presigned request has expired.");
  }

  #signingKey({ accessKey, secretKey }: KeyPair, scope: Scope): Buffer {
    const name = `${scope.date}/${accessKey}`;
    const known = this.#signingKeys.get(name);
    if (known !== undefined) return known;
    const key = signingKey(secretKey, scope);
    if (this.#signingKeys.size >= MOST_SIGNING_KEYS) this.#signingKeys.clear();
    this.#signingKeys.set(name, key);
    return key;
  }
}

/** A field of S3's that is not signed could have been added or changed on the way. */
const checkSignedNames = ({ signedNames }: Claim, fields: RequestFields): void => {
  const signed = new Set(signedNames);
  if (!signed.has("host")) throw s3Error("AccessDenied", "The header field host must be signed.");
  for (const name of fields.names())
    if (name.startsWith("x-amz-") && !signed.has(name))
      throw s3Error("AccessDenied", `The header field ${name} must be signed.`);
};

const payloadHashOf = ({ fields, target }: SignedRequest, { expiresSec }: Claim): string => {
  const given = fields.get("x-amz-content-sha256");
  if (given !== undefined) return given;
  if (expiresSec === undefined)
    throw s3Error("MissingSecurityHeader", "The header field x-amz-content-sha256 is missing.");
  // AWS's clients write the parameter in either way.
  const { query } = target;
  return query.get("X-Amz-Content-Sha256") ?? query.get("x-amz-content-sha256") ?? UNSIGNED_PAYLOAD;
};

const signs = (key: Buffer, claim: Claim, request: SignedRequest, payloadHash: string): boolean => {
  const { method, target, fields } = request;
  const parts = {
    method,
    query: target.query,
    fields: claim.signedNames.map((name) => [name, fields.all(name)] as const),
    payloadHash,
  };
  const matches = (path: string): boolean => {
    const text = stringToSign(claim.time, claim.scope, canonicalRequest({ ...parts, path }));
    return sameHex(signatureOf(key, text), claim.signature);
  };
  if (matches(target.path)) return true;
  // Some clients sign what AWS makes of a path, and send another spelling of the same.
  const canonicalPath = percentEncodePath(target.decodedPath);
  return canonicalPath !== target.path && matches(canonicalPath);
};
