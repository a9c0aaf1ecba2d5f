/**
 * The error codes that this server answers S3 requests with: those of S3's documentation ("Error responses") that concern it. Two
 * are not listed there: NotModified, which has a status only, and InsufficientStorage, for which S3 has no occasion. Each has the HTTP
 * status that goes with it, and what the client is told if there is nothing better to say.
 */
export const S3_ERRORS = {
  AccessDenied: { status: 403, message: "This key pair may not do that." },
  AuthorizationHeaderMalformed: { status: 400, message: "The Authorization header cannot be understood." },
  AuthorizationQueryParametersError: {
    status: 400,
    message: "The X-Amz- parameters of the query cannot be understood.",
  },
  BadDigest: { status: 400, message: "The content has another checksum than the request says." },
  BucketAlreadyExists: { status: 409, message: "There is a bucket of that name." },
  BucketAlreadyOwnedByYou: { status: 409, message: "There is a bucket of that name, and it is yours." },
  BucketNotEmpty: { status: 409, message: "The bucket still has objects." },
  EntityTooLarge: { status: 400, message: "The content is larger than this server takes." },
  EntityTooSmall: { status: 400, message: "A part that is not the last one is smaller than 5 MiB." },
  ExpiredToken: { status: 400, message: "The token has expired." },
  IncompleteBody: { status: 400, message: "The content ended before it was as long as the request says." },
  InsufficientStorage: { status: 507, message: "There is no space left where objects are kept." },
  InternalError: { status: 500, message: "The server failed; its log says why." },
  InvalidAccessKeyId: { status: 403, message: "There is no such access key." },
  InvalidArgument: { status: 400, message: "A parameter has a value that cannot be used." },
  InvalidBucketName: {
    status: 400,
    message: "A bucket's name has 3 to 63 characters: lower-case letters, digits, hyphens and single dots.",
  },
  InvalidChunkSizeError: { status: 400, message: "A chunk that is not the last one is smaller than 8 KiB." },
  InvalidDigest: { status: 400, message: "Content-MD5 is no MD5 in base64." },
  InvalidPart: { status: 400, message: "A part was not uploaded, or its ETag is another one." },
  InvalidPartOrder: { status: 400, message: "The parts are not in ascending order." },
  InvalidRange: { status: 416, message: "The object has no byte in that range." },
  InvalidRequest: { status: 400, message: "The request contradicts itself or asks for what cannot be done." },
  InvalidURI: { status: 400, message: "The path cannot be understood." },
  KeyTooLongError: { status: 400, message: "The key is longer than 1024 bytes." },
  MalformedXML: { status: 400, message: "The XML is not what this request takes." },
  MetadataTooLarge: { status: 400, message: "The x-amz-meta- header fields are larger than 2 KiB." },
  MethodNotAllowed: { status: 405, message: "The method cannot be used on that resource." },
  MissingContentLength: { status: 411, message: "The request needs a Content-Length." },
  MissingSecurityHeader: { status: 400, message: "A header field that the signature needs is missing." },
  NoSuchBucket: { status: 404, message: "There is no such bucket." },
  NoSuchBucketPolicy: { status: 404, message: "The bucket has no policy." },
  NoSuchCORSConfiguration: { status: 404, message: "The bucket has no CORS configuration." },
  NoSuchKey: { status: 404, message: "There is no such object." },
  NoSuchLifecycleConfiguration: { status: 404, message: "The bucket has no lifecycle configuration." },
  NoSuchTagSet: { status: 404, message: "There are no tags." },
  NoSuchUpload: {
    status: 404,
    message: "There is no such upload: it was completed, aborted, or never begun.",
  },
  NoSuchVersion: { status: 404, message: "There is no such version: objects are not versioned here." },
  NoSuchWebsiteConfiguration: { status: 404, message: "The bucket is no website." },
  NotImplemented: { status: 501, message: "This server does not do that." },
  NotModified: { status: 304, message: "The object is the one that you have." },
  ObjectLockConfigurationNotFoundError: { status: 404, message: "The bucket has no object lock." },
  PreconditionFailed: { status: 412, message: "The object is not as the request's conditions want it." },
  ReplicationConfigurationNotFoundError: { status: 404, message: "The bucket is not replicated." },
  RequestHeaderSectionTooLarge: { status: 400, message: "The header is larger than this server takes." },
  RequestTimeTooSkewed: {
    status: 403,
    message: "The request's time is more than 15 minutes off this server's.",
  },
  RequestTimeout: { status: 400, message: "The content did not come in time." },
  ServerSideEncryptionConfigurationNotFoundError: { status: 404, message: "The bucket is not encrypted." },
  ServiceUnavailable: { status: 503, message: "The server cannot do that now; try again later." },
  SignatureDoesNotMatch: {
    status: 403,
    message: "The signature is not the one that this key and request make.",
  },
  SlowDown: { status: 503, message: "There are too many requests at once; try again later." },
  TooManyBuckets: { status: 400, message: "There are more buckets than this server keeps." },
  UnsupportedSignature: { status: 400, message: "Only AWS signature version 4 is understood." },
  XAmzContentChecksumMismatch: {
    status: 400,
    message: "The content has another checksum than the request says.",
  },
  XAmzContentSHA256Mismatch: {
    status: 400,
    message: "The content has another SHA-256 than x-amz-content-sha256.",
  },
} as const;

export type S3ErrorCode = keyof typeof S3_ERRORS;

export interface S3ErrorOptions {
  /** What led to it; for the log, never for the client. */
  readonly cause?: unknown;
  /** Elements of the answer's XML beside Code and Message, such as `Key`; never secrets. */
  readonly details?: Readonly<Record<string, string>>;
}

/** What a client is answered with when its S3 request fails. */
export class S3Error extends Error {
  readonly code: S3ErrorCode;
  readonly status: number;
  readonly details: Readonly<Record<string, string>>;

  constructor(code: S3ErrorCode, message: string, options: S3ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "S3Error";
    this.code = code;
    this.status = S3_ERRORS[code].status;
    this.details = options.details ?? {};
  }
}

/** Makes the error of that code; without a message, with the table's. */
export const s3Error = (
  code: S3ErrorCode,
  message: string = S3_ERRORS[code].message,
  options: S3ErrorOptions = {},
): S3Error => new S3Error(code, message, options);

/** Whether `error` is an S3Error, with the given code if one is named. */
export const isS3Error = (error: unknown, code?: S3ErrorCode): error is S3Error =>
  error instanceof S3Error && (code === undefined || error.code === code);
