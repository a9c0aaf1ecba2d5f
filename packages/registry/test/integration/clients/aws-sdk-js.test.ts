import { readFile } from "node:fs/promises";

import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  ListPartsCommand,
  PutObjectCommand,
  S3Client,
  UploadPartCommand,
} from "@aws-sdk/client-s3";
import { Sha256 } from "@aws-crypto/sha256-js";
import { HttpRequest } from "@smithy/protocol-http";
import { SignatureV4 } from "@smithy/signature-v4";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { ClientRegistry, sha256 } from "../../support/foreign-clients.ts";
import { UPLOADER } from "../../support/registry.ts";

let clients: ClientRegistry;
let s3: S3Client;
beforeAll(async () => {
  clients = await ClientRegistry.start();
  s3 = client();
});
afterAll(async () => {
  s3.destroy();
  await clients[Symbol.asyncDispose]();
});

const client = (secretAccessKey: string = UPLOADER.secretKey): S3Client =>
  new S3Client({
    endpoint: clients.endpoint,
    region: "us-east-1",
    forcePathStyle: true,
    maxAttempts: 1,
    credentials: { accessKeyId: UPLOADER.accessKey, secretAccessKey },
  });
const Bucket = "code";
const MIB = 1024 * 1024;

const get = async (Key: string): Promise<Buffer> => {
  const { Body } = await s3.send(new GetObjectCommand({ Bucket, Key }));
  return Buffer.from((await Body?.transformToByteArray()) ?? []);
};

/** As @aws-sdk/s3-request-presigner does it: the client's own request, with all that it puts into one, signed in the query. */
const presigned = async (command: GetObjectCommand | PutObjectCommand): Promise<string> => {
  let request: HttpRequest | undefined;
  const stop = new Error("not to be sent");
  const catching = client();
  catching.middlewareStack.add(
    () => (args) => {
      request = args.request as HttpRequest;
      return Promise.reject(stop);
    },
    { step: "build", priority: "low" },
  );
  await expect(catching.send(command)).rejects.toBe(stop);
  if (request === undefined) throw stop;
  delete request.headers["content-length"];
  request.headers["X-Amz-Content-Sha256"] = "UNSIGNED-PAYLOAD";
  request.headers["host"] = `${request.hostname}:${request.port}`;
  const credentials = await catching.config.credentials();
  const signer = new SignatureV4({
    credentials,
    region: "us-east-1",
    service: "s3",
    sha256: Sha256,
    uriEscapePath: false,
  });
  const { path, query } = await signer.presign(request, {
    expiresIn: 60,
    unsignableHeaders: new Set(["content-type"]),
  });
  catching.destroy();
  return `${clients.endpoint}${path}?${new URLSearchParams(query as Record<string, string>).toString()}`;
};

describe("@aws-sdk/client-s3", () => {
  it("puts, gets, copies and deletes, with the checksums that it makes and checks by itself", async () => {
    for (const ChecksumAlgorithm of ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"] as const) {
      const put = await s3.send(
        new PutObjectCommand({
          Bucket,
          Key: "dir/hello ü",
          Body: "hello",
          ChecksumAlgorithm,
          Metadata: { a: "b" },
        }),
      );
      expect(put[`Checksum${ChecksumAlgorithm}`]).toMatch(/=$/u);
      expect((await get("dir/hello ü")).toString()).toBe("hello");
    }
    const source = `${Bucket}/${encodeURIComponent("dir/hello ü")}`;
    await s3.send(new CopyObjectCommand({ Bucket, Key: "copy", CopySource: source }));
    expect(await s3.send(new HeadObjectCommand({ Bucket, Key: "copy" }))).toMatchObject({
      ContentLength: 5,
      Metadata: { a: "b" },
    });
    await s3.send(new DeleteObjectCommand({ Bucket, Key: "copy" }));
    await expect(s3.send(new HeadObjectCommand({ Bucket, Key: "copy" }))).rejects.toMatchObject({
      name: "NotFound",
    });
    await expect(get("copy")).rejects.toMatchObject({ name: "NoSuchKey" });
  });

  it("lists in pages, and deletes many at once", async () => {
    const keys = Array.from({ length: 12 }, (_, number) => `list/${String(number).padStart(2, "0")} &<>`);
    for (const Key of keys) await s3.send(new PutObjectCommand({ Bucket, Key, Body: "x" }));
    const found: (string | undefined)[] = [];
    let token: string | undefined;
    do {
      const page = await s3.send(
        new ListObjectsV2Command({
          Bucket,
          Prefix: "list/",
          MaxKeys: 5,
          ...(token !== undefined && { ContinuationToken: token }),
        }),
      );
      found.push(...(page.Contents ?? []).map(({ Key }) => Key));
      token = page.NextContinuationToken;
    } while (token !== undefined);
    expect(found).toEqual(keys);
    const { Deleted, Errors } = await s3.send(
      new DeleteObjectsCommand({ Bucket, Delete: { Objects: keys.map((Key) => ({ Key })) } }),
    );
    expect([Deleted?.length, Errors]).toEqual([12, undefined]);
  });

  it("moves 50 MB in parts", async () => {
    const whole = await readFile(clients.large);
    const Key = "large";
    const { UploadId } = await s3.send(
      new CreateMultipartUploadCommand({ Bucket, Key, ChecksumAlgorithm: "CRC32" }),
    );
    const Parts: { PartNumber: number; ETag: string | undefined; ChecksumCRC32: string | undefined }[] = [];
    for (let at = 0; at < whole.length; at += 10 * MIB) {
      const PartNumber = Parts.length + 1;
      const Body = whole.subarray(at, at + 10 * MIB);
      const part = await s3.send(
        new UploadPartCommand({ Bucket, Key, UploadId, PartNumber, Body, ChecksumAlgorithm: "CRC32" }),
      );
      Parts.push({ PartNumber, ETag: part.ETag, ChecksumCRC32: part.ChecksumCRC32 });
    }
    expect((await s3.send(new ListPartsCommand({ Bucket, Key, UploadId }))).Parts).toHaveLength(5);
    const complete = { Bucket, Key, UploadId, MultipartUpload: { Parts } };
    const done = await s3.send(new CompleteMultipartUploadCommand(complete));
    expect(done.ETag).toMatch(/-5"$/u);
    expect((await s3.send(new CompleteMultipartUploadCommand(complete))).ETag).toBe(done.ETag);
    expect(sha256(await get(Key))).toBe(clients.largeDigest);
    const other = await s3.send(new CreateMultipartUploadCommand({ Bucket, Key }));
    expect((await s3.send(new ListMultipartUploadsCommand({ Bucket }))).Uploads).toHaveLength(1);
    await s3.send(new AbortMultipartUploadCommand({ Bucket, Key, UploadId: other.UploadId }));
    expect((await s3.send(new ListMultipartUploadsCommand({ Bucket }))).Uploads).toBe(undefined);
  });

  it("creates only what is not there", async () => {
    const put = { Bucket, Key: "once", Body: "first", IfNoneMatch: "*" };
    await s3.send(new PutObjectCommand(put));
    await expect(s3.send(new PutObjectCommand(put))).rejects.toMatchObject({ name: "PreconditionFailed" });
  });

  it("presigns, with the checksum of an empty body in the URL", async () => {
    const put = await presigned(new PutObjectCommand({ Bucket, Key: "signed ü", Metadata: { a: "b" } }));
    expect(put).toContain("x-amz-checksum-crc32=AAAAAA%3D%3D");
    expect((await fetch(put, { method: "PUT", body: "by URL" })).status).toBe(200);
    const reply = await fetch(await presigned(new GetObjectCommand({ Bucket, Key: "signed ü" })));
    expect([await reply.text(), reply.headers.get("x-amz-meta-a")]).toEqual(["by URL", "b"]);
  });

  it("is told when its key is wrong, also if it has much to send", async () => {
    const wrong = client("wrong-secret");
    for (const Body of ["x", Buffer.alloc(5 * MIB)])
      await expect(wrong.send(new PutObjectCommand({ Bucket, Key: "wrong", Body }))).rejects.toMatchObject({
        name: "SignatureDoesNotMatch",
      });
    wrong.destroy();
  });
});
