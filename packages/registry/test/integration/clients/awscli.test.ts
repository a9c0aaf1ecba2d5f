import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { ClientRegistry, type Ended, fileSha256 } from "../../support/foreign-clients.ts";
import { UPLOADER } from "../../support/registry.ts";

let clients: ClientRegistry;
beforeAll(async () => {
  clients = await ClientRegistry.start();
});
afterAll(() => clients[Symbol.asyncDispose]());

/** Without more, this version presigns by signature version 2, which is not understood here. */
const CONFIGURATION =
  "[default]\nregion = us-east-1\ns3 =\n  signature_version = s3v4\n  addressing_style = path\n";

const aws = async (args: readonly string[], secretKey: string = UPLOADER.secretKey): Promise<Ended> =>
  clients.run("python3", ["-m", "awscli", "--endpoint-url", clients.endpoint, ...args], {
    AWS_ACCESS_KEY_ID: UPLOADER.accessKey,
    AWS_SECRET_ACCESS_KEY: secretKey,
    AWS_CONFIG_FILE: await clients.file("aws.config", CONFIGURATION),
    AWS_MAX_ATTEMPTS: "1",
  });
const done = async (...args: string[]): Promise<string> => {
  const { code, stdout, stderr } = await aws(args);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  return stdout;
};

describe("awscli", () => {
  it("puts, lists, gets, copies and deletes", async () => {
    const file = await clients.file("hello", "hello");
    await done("s3", "cp", file, "s3://code/dir/hello ü.txt", "--content-type", "text/x");
    expect(await done("s3", "ls", "s3://code/dir/")).toMatch(/ 5 hello ü\.txt\n$/u);
    expect(await done("s3", "cp", "s3://code/dir/hello ü.txt", "-")).toBe("hello");
    await done("s3", "cp", "s3://code/dir/hello ü.txt", "s3://code/copy");
    const head = JSON.parse(
      await done("s3api", "head-object", "--bucket", "code", "--key", "copy"),
    ) as object;
    expect(head).toMatchObject({ ContentLength: 5, ContentType: "text/x" });
    await done("s3", "rm", "--recursive", "s3://code/dir/");
    expect((await aws(["s3", "ls", "s3://code/dir/"])).stdout).toBe("");
  });

  it("moves 50 MB in parts", async () => {
    await done("s3", "cp", "--quiet", clients.large, "s3://code/large");
    expect(clients.registry.store.head("code", "large").etag).toMatch(/-7$/u);
    await done("s3", "cp", "--quiet", "s3://code/large", clients.target("back"));
    expect(await fileSha256(clients.target("back"))).toBe(clients.largeDigest);
    await done("s3", "cp", "--quiet", "s3://code/large", "s3://code/large-copy");
    expect(clients.registry.store.head("code", "large-copy").size).toBe(50 * 1024 * 1024);
    await done("s3", "sync", "--quiet", "--delete", await emptyDirectory(), "s3://code/");
    expect(clients.registry.store.stats().objects).toBe(0);
  });

  it("presigns", async () => {
    await done("s3", "cp", await clients.file("signed", "by URL"), "s3://code/signed");
    const url = (await done("s3", "presign", "s3://code/signed", "--expires-in", "60")).trim();
    expect(await (await fetch(url)).text()).toBe("by URL");
    expect((await fetch(url.replace("/signed", "/other"))).status).toBe(403);
  });

  it("is told when its key is wrong, or may not do that", async () => {
    const wrong = await aws(["s3", "cp", clients.large, "s3://code/wrong"], "wrong-secret");
    expect(wrong.code).toBe(1);
    expect(wrong.stderr).toContain("SignatureDoesNotMatch");
    const forbidden = await aws(["s3", "mb", "s3://mine"]);
    expect(forbidden.stderr).toContain("AccessDenied");
  });
});

const emptyDirectory = async (): Promise<string> => {
  const directory = clients.target("empty");
  await clients.run("mkdir", ["-p", directory]);
  return directory;
};
