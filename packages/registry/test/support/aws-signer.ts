import { Sha256 } from "@aws-crypto/sha256-js";
import { HttpRequest } from "@smithy/protocol-http";
import { SignatureV4 } from "@smithy/signature-v4";

/** A request as it goes over the wire. */
export interface WireRequest {
  readonly method: string;
  readonly url: string;
  /** name, value, name, value ... */
  readonly rawHeaders: readonly string[];
}

/** What is to be signed; everything is plain, not percent-encoded. */
export interface PlainRequest {
  readonly method: string;
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly headers: Readonly<Record<string, string>>;
  /** Its hash is signed, unless x-amz-content-sha256 is among the headers. */
  readonly body?: string | Buffer;
  /** In seconds; absent: the signature is in the header. */
  readonly presignedFor?: number;
}

export interface Signer {
  readonly accessKey: string;
  readonly secretKey: string;
  readonly region: string;
  readonly at: Date;
}

export const HOST = "registry.example:9000";

/** As AWS's clients encode; not the server's own function. */
const encode = (text: string): string =>
  encodeURIComponent(text).replaceAll(
    /[!'()*]/gu,
    (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`,
  );

/** Signs by AWS's own library. */
export const awsSign = async (plain: PlainRequest, signer: Signer): Promise<WireRequest> => {
  const { accessKey, secretKey, region, at } = signer;
  const signature = new SignatureV4({
    credentials: { accessKeyId: accessKey, secretAccessKey: secretKey },
    region,
    service: "s3",
    sha256: Sha256,
    uriEscapePath: false,
  });
  const request = new HttpRequest({
    method: plain.method,
    protocol: "http:",
    hostname: HOST,
    path: plain.path.split("/").map(encode).join("/"),
    query: { ...plain.query },
    headers: { host: HOST, ...plain.headers },
    ...(plain.body !== undefined && { body: plain.body }),
  });
  const signed =
    plain.presignedFor === undefined
      ? await signature.sign(request, { signingDate: at })
      : await signature.presign(request, { signingDate: at, expiresIn: plain.presignedFor });
  const query = Object.entries(signed.query ?? {})
    .map(([name, value]) => `${encode(name)}=${encode(String(value))}`)
    .join("&");
  return {
    method: signed.method,
    url: signed.path + (query === "" ? "" : `?${query}`),
    rawHeaders: Object.entries(signed.headers).flat(),
  };
};
