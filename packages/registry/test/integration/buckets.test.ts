import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { ADMIN, READER, TestRegistry, type TestReply, UPLOADER } from "../support/registry.ts";

let registry: TestRegistry;
beforeAll(async () => {
  registry = await TestRegistry.start();
});
afterAll(() => registry[Symbol.asyncDispose]());

const body = (place: string) =>
  `<CreateBucketConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><LocationConstraint>${place}</LocationConstraint></CreateBucketConfiguration>`;

describe("a bucket", () => {
  it("is made, found, listed and deleted", async () => {
    const made = await registry.send("PUT", "/fresh", { body: "" });
    expect([made.status, made.headers.location]).toEqual([200, "/fresh"]);
    expect((await registry.send("HEAD", "/fresh", { as: READER })).status).toBe(200);
    const list = await registry.send("GET", "/", { as: READER });
    expect(list.text).toMatch(
      /<Bucket><Name>fresh<\/Name><CreationDate>\d{4}-[^<]*Z<\/CreationDate><\/Bucket>/u,
    );
    expect((await registry.send("PUT", "/fresh", { body: "" })).code).toBe("BucketAlreadyOwnedByYou");
    expect((await registry.send("DELETE", "/fresh")).status).toBe(204);
    expect((await registry.send("HEAD", "/fresh")).status).toBe(404);
    expect((await registry.send("DELETE", "/fresh")).code).toBe("NoSuchBucket");
  });

  it("is made with the server's own region in the body, and with no other", async () => {
    expect((await registry.send("PUT", "/placed", { body: body("us-east-1") })).status).toBe(200);
    expect((await registry.send("PUT", "/elsewhere", { body: body("eu-west-1") })).code).toBe(
      "InvalidArgument",
    );
    expect((await registry.send("PUT", "/other", { body: "<Nonsense/>" })).code).toBe("MalformedXML");
  });

  it.each(["ab", "Upper", "a_b", "-ab", "a..b", "192.168.0.1", "_ol", "a".repeat(64)])(
    "cannot be called %s",
    async (name) => {
      expect((await registry.send("PUT", `/${name}`, { body: "" })).code).toBe("InvalidBucketName");
    },
  );

  it("is not deleted while something is in it", async () => {
    await registry.send("PUT", "/full", { body: "" });
    await registry.send("PUT", "/full/a", { body: "x" });
    expect((await registry.send("DELETE", "/full")).code).toBe("BucketNotEmpty");
  });

  it("is not deleted or replaced by a request for something else", async () => {
    await registry.send("PUT", "/safe", { body: "" });
    for (const setting of [
      "lifecycle",
      "policy",
      "cors",
      "tagging",
      "website",
      "encryption",
      "replication",
      "unheard-of",
    ])
      for (const method of ["DELETE", "PUT"]) {
        const { status } = await registry.send(method, "/safe", { query: { [setting]: "" }, body: "" });
        expect([method, setting, status]).toEqual([method, setting, 501]);
      }
    await registry.send("PUT", "/safe/a", { body: "x" });
    for (const method of ["DELETE", "PUT"])
      for (const setting of ["tagging", "acl", "retention", "legal-hold"])
        expect((await registry.send(method, "/safe/a", { query: { [setting]: "" }, body: "y" })).status).toBe(
          501,
        );
    expect((await registry.send("GET", "/safe/a", { query: { attributes: "" } })).status).toBe(501);
    expect((await registry.send("GET", "/safe/a", { query: { partNumber: "1" } })).status).toBe(501);
    expect(
      (await registry.send("GET", "/safe/a", { query: { "x-id": "GetObject", unknown: "1" } })).text,
    ).toBe("x");
  });
});

const ask = (query: string, target = "/code"): Promise<TestReply> =>
  registry.send("GET", target, { query: { [query]: "" }, as: READER });

describe("what clients ask about a bucket", () => {
  it.each([
    ["policy", "NoSuchBucketPolicy"],
    ["cors", "NoSuchCORSConfiguration"],
    ["tagging", "NoSuchTagSet"],
    ["object-lock", "ObjectLockConfigurationNotFoundError"],
    ["lifecycle", "NoSuchLifecycleConfiguration"],
    ["encryption", "ServerSideEncryptionConfigurationNotFoundError"],
    ["website", "NoSuchWebsiteConfiguration"],
    ["replication", "ReplicationConfigurationNotFoundError"],
  ])("and has no answer is a 404 of its own kind: %s", async (query, code) => {
    const { status, code: found } = await ask(query);
    expect([status, found]).toEqual([404, code]);
  });

  it("is answered where there is an answer", async () => {
    expect((await ask("location")).text).toContain("<LocationConstraint ");
    expect((await ask("versioning")).text).toContain("<VersioningConfiguration ");
    expect((await ask("versioning")).text).not.toContain("Status");
    // s3cmd crashes without the type.
    expect((await ask("acl")).text).toContain('xsi:type="CanonicalUser"');
    await registry.send("PUT", "/code/asked", { body: "x" });
    expect((await ask("acl", "/code/asked")).text).toContain("FULL_CONTROL");
    expect((await ask("tagging", "/code/asked")).text).toContain("<TagSet></TagSet>");
    expect((await ask("acl", "/code/not-there")).code).toBe("NoSuchKey");
    expect((await ask("versioning", "/not-there")).code).toBe("NoSuchBucket");
  });
});

describe("roles", () => {
  beforeAll(() => registry.send("PUT", "/code/there", { body: "x" }));
  const upload = "<Delete><Object><Key>x</Key></Object></Delete>";
  const cases: readonly [
    method: string,
    target: string,
    query: Record<string, string>,
    body: string | undefined,
    need: string,
  ][] = [
    ["GET", "/", {}, undefined, "read"],
    ["HEAD", "/code", {}, undefined, "read"],
    ["GET", "/code", { "list-type": "2" }, undefined, "read"],
    ["GET", "/code", { uploads: "" }, undefined, "read"],
    ["GET", "/code/there", {}, undefined, "read"],
    ["HEAD", "/code/there", {}, undefined, "read"],
    ["PUT", "/code/x", {}, "x", "write"],
    ["DELETE", "/code/x", {}, undefined, "write"],
    ["POST", "/code", { delete: "" }, upload, "write"],
    ["POST", "/code/x", { uploads: "" }, "", "write"],
    ["PUT", "/roles", {}, "", "administer"],
    ["DELETE", "/roles", {}, undefined, "administer"],
  ];

  it.each(cases)("let only some do %s %s %j", async (method, target, query, body, need) => {
    const options = { query, ...(body !== undefined && { body }) };
    const may = async (as: typeof ADMIN | null): Promise<boolean> =>
      (await registry.send(method, target, { ...options, as })).status < 300;
    // Who may not first: what is refused must not have been done.
    expect([await may(null), await may(READER), await may(UPLOADER), await may(ADMIN)]).toEqual([
      false,
      need === "read",
      need !== "administer",
      true,
    ]);
  });

  it("say so in S3's words, and a reader learns nothing by trying to write", async () => {
    const { status, code, text } = await registry.send("PUT", "/nowhere/x", { body: "x", as: READER });
    expect([status, code]).toEqual([403, "AccessDenied"]);
    expect(text).toContain("role read may not do PutObject");
    const wrong = await registry.send("GET", "/code/there", {
      as: { ...ADMIN, secretKey: "not-the-secret" },
    });
    expect([wrong.status, wrong.code]).toEqual([403, "SignatureDoesNotMatch"]);
    const unknown = await registry.send("GET", "/code/there", { as: { ...ADMIN, accessKey: "nobody" } });
    expect([unknown.status, unknown.code]).toEqual([403, "InvalidAccessKeyId"]);
  });
});

describe("requests that are for nothing", () => {
  it.each([
    ["PATCH", "/code/a"],
    ["OPTIONS", "/code/a"],
    ["POST", "/"],
    ["DELETE", "/"],
  ])("are refused: %s %s", async (method, target) => {
    expect((await registry.send(method, target)).code).toBe("MethodNotAllowed");
  });

  it.each(["/code/%", "/code/%ff", "/code/%zz", "/code/%c3%28"])(
    "are refused if the path is no UTF-8: %s",
    async (url) => {
      const { status, code } = await registry.raw("GET", url, ["host", "x"]);
      expect([status, code]).toEqual([400, "InvalidURI"]);
    },
  );
});
