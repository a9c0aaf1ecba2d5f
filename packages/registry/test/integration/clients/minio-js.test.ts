import { readFile } from "node:fs/promises";
import type { Readable } from "node:stream";

import { Client, CopyConditions } from "minio";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { ClientRegistry, fileSha256, sha256 } from "../../support/foreign-clients.ts";
import { ADMIN, UPLOADER } from "../../support/registry.ts";

let clients: ClientRegistry;
let minio: Client;
beforeAll(async () => {
  clients = await ClientRegistry.start();
  minio = client();
});
afterAll(() => clients[Symbol.asyncDispose]());

const client = ({ accessKey, secretKey } = UPLOADER, region?: string): Client =>
  new Client({
    endPoint: "127.0.0.1",
    port: clients.port,
    useSSL: false,
    accessKey,
    secretKey,
    ...(region !== undefined && { region }),
  });

const all = async <Value>(stream: Readable): Promise<Value[]> => {
  const values: Value[] = [];
  for await (const value of stream) values.push(value as Value);
  return values;
};
const bytesOf = async (stream: Readable): Promise<Buffer> => Buffer.concat(await all<Buffer>(stream));

interface Entry {
  readonly name?: string;
  readonly prefix?: string;
}

const namesOf = async (stream: Readable): Promise<ReadonlySet<string | undefined>> =>
  new Set((await all<Entry>(stream)).map(({ name, prefix }) => name ?? prefix));

describe("minio-js", () => {
  it("puts and gets", async () => {
    await minio.putObject("code", "dir/hello ü.txt", "hello", 5, {
      "Content-Type": "text/x",
      colour: "blue",
    });
    expect((await bytesOf(await minio.getObject("code", "dir/hello ü.txt"))).toString()).toBe("hello");
    expect((await bytesOf(await minio.getPartialObject("code", "dir/hello ü.txt", 1, 2))).toString()).toBe(
      "el",
    );
    const stat = await minio.statObject("code", "dir/hello ü.txt");
    expect(stat).toMatchObject({ size: 5, metaData: { "content-type": "text/x", colour: "blue" } });
    await expect(minio.statObject("code", "none")).rejects.toMatchObject({ code: "NotFound" });
    await expect(minio.getObject("code", "none")).rejects.toMatchObject({ code: "NoSuchKey" });
  });

  it("lists, in both versions", async () => {
    for (let number = 0; number < 12; number += 1) await minio.putObject("code", `list/${number}`, "x");
    const wanted = Array.from({ length: 12 }, (_, number) => `list/${number}`);
    expect(await namesOf(minio.listObjects("code", "list/", true))).toEqual(new Set(wanted));
    expect(await namesOf(minio.listObjectsV2("code", "list/", true))).toEqual(new Set(wanted));
    expect(await namesOf(minio.listObjectsV2("code", "", false))).toContain("list/");
    expect((await minio.listBuckets()).map(({ name }) => name)).toEqual(["code"]);
    expect([await minio.bucketExists("code"), await minio.bucketExists("none")]).toEqual([true, false]);
  });

  it("copies", async () => {
    await minio.copyObject("code", "copy", "/code/dir/hello ü.txt", new CopyConditions());
    expect((await bytesOf(await minio.getObject("code", "copy"))).toString()).toBe("hello");
  });

  it("moves 50 MB in parts, also without knowing how many there are", async () => {
    const parts = client();
    parts.partSize = 8 * 1024 * 1024;
    await parts.fPutObject("code", "large", clients.large);
    expect(clients.registry.store.head("code", "large").etag).toMatch(/-7$/u);
    await minio.fGetObject("code", "large", clients.target("back"));
    expect(await fileSha256(clients.target("back"))).toBe(clients.largeDigest);
    const whole = await readFile(clients.large);
    await minio.putObject("code", "large-at-once", whole);
    expect(sha256(await bytesOf(await minio.getObject("code", "large-at-once")))).toBe(clients.largeDigest);
    await minio.removeObjects("code", ["large", "large-at-once"]);
    await expect(minio.statObject("code", "large")).rejects.toMatchObject({ code: "NotFound" });
  });

  it("creates only what is not there", async () => {
    await minio.putObject("code", "once", "first", 5, { "If-None-Match": "*" });
    await expect(
      minio.putObject("code", "once", "second", 6, { "If-None-Match": "*" }),
    ).rejects.toMatchObject({
      code: "PreconditionFailed",
    });
  });

  it("makes and removes buckets, if it may", async () => {
    const admin = client(ADMIN);
    await admin.makeBucket("made");
    await admin.removeBucket("made");
    expect(await admin.bucketExists("made")).toBe(false);
    await expect(minio.makeBucket("made")).rejects.toMatchObject({ code: "AccessDenied" });
  });

  it("presigns", async () => {
    const put = await minio.presignedPutObject("code", "signed", 60);
    expect((await fetch(put, { method: "PUT", body: "by URL" })).status).toBe(200);
    const get = await minio.presignedGetObject("code", "signed", 60, { "response-content-type": "text/y" });
    const reply = await fetch(get);
    expect([await reply.text(), reply.headers.get("content-type")]).toEqual(["by URL", "text/y"]);
    expect((await fetch(get.replace("/signed", "/once"))).status).toBe(403);
  });

  it("is told when its key is wrong, also in the middle of sending much", async () => {
    const wrong = client({ ...UPLOADER, secretKey: "wrong-secret" }, "us-east-1");
    await expect(wrong.getObject("code", "once")).rejects.toMatchObject({ code: "SignatureDoesNotMatch" });
    const large = Buffer.alloc(16 * 1024 * 1024);
    await expect(wrong.putObject("code", "wrong", large)).rejects.toMatchObject({
      code: "SignatureDoesNotMatch",
    });
    const unknown = client({ ...UPLOADER, accessKey: "unknown" }, "us-east-1");
    await expect(unknown.listBuckets()).rejects.toMatchObject({ code: "InvalidAccessKeyId" });
  });
});
