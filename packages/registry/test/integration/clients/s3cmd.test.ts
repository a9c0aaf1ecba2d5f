import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { ClientRegistry, type Ended, fileSha256, pythonScript } from "../../support/foreign-clients.ts";
import { UPLOADER } from "../../support/registry.ts";

let clients: ClientRegistry;
beforeAll(async () => {
  clients = await ClientRegistry.start();
});
afterAll(() => clients[Symbol.asyncDispose]());

const s3cmd = (args: readonly string[], secretKey: string = UPLOADER.secretKey): Promise<Ended> => {
  const where = `127.0.0.1:${clients.port}`;
  const options = [
    "--no-ssl",
    `--host=${where}`,
    `--host-bucket=${where}`,
    "--region=us-east-1",
    "--no-progress",
  ];
  const keys = [`--access_key=${UPLOADER.accessKey}`, `--secret_key=${secretKey}`, "--config=/dev/null"];
  return clients.run("python3", [pythonScript("s3cmd"), ...options, ...keys, ...args], {
    PYTHONWARNINGS: "ignore",
  });
};
const done = async (...args: string[]): Promise<string> => {
  const { code, stdout, stderr } = await s3cmd(args);
  expect({ code, stderr }).toMatchObject({ code: 0 });
  return stdout;
};

describe("s3cmd", () => {
  it("puts, lists, gets, copies and deletes", async () => {
    const file = await clients.file("hello", "hello");
    await done("put", file, "s3://code/dir/hello ü.txt", "--add-header=x-amz-meta-a:b");
    expect(await done("ls", "s3://code/dir/")).toMatch(/ 5 +s3:\/\/code\/dir\/hello ü\.txt\n$/u);
    await done("get", "s3://code/dir/hello ü.txt", clients.target("got"));
    expect(await fileSha256(clients.target("got"))).toBe(await fileSha256(file));
    await done("cp", "s3://code/dir/hello ü.txt", "s3://code/copy");
    // It asks for the ACL, policy and CORS as well.
    expect(await done("info", "s3://code/copy")).toMatch(/File size: 5\n[^]*ACL: +openlambda: FULL_CONTROL/u);
    expect(await done("info", "s3://code")).toContain("FULL_CONTROL");
    await done("del", "--recursive", "--force", "s3://code/dir/");
    expect(await done("ls", "s3://code/dir/")).toBe("");
  });

  it("moves 50 MB in parts", async () => {
    await done("put", clients.large, "s3://code/large");
    expect(clients.registry.store.head("code", "large").etag).toMatch(/-4$/u);
    await done("get", "s3://code/large", clients.target("back"));
    expect(await fileSha256(clients.target("back"))).toBe(clients.largeDigest);
    await done("del", "s3://code/large");
    expect((await s3cmd(["info", "s3://code/large"])).code).not.toBe(0);
  });

  it("is told when its key is wrong, or may not do that", async () => {
    const wrong = await s3cmd(
      ["put", await clients.file("hello", "hello"), "s3://code/wrong"],
      "wrong-secret",
    );
    expect(wrong.code).not.toBe(0);
    expect(wrong.stderr).toContain("SignatureDoesNotMatch");
    const forbidden = await s3cmd(["mb", "s3://mine"]);
    expect(forbidden.stderr).toContain("AccessDenied");
  });

  it("presigns by signature version 2 only, and is told that this is not understood", async () => {
    const url = (await done("signurl", "s3://code/copy", "+60")).trim();
    const reply = await fetch(url);
    expect([reply.status, await reply.text()]).toEqual([
      400,
      expect.stringContaining("<Code>UnsupportedSignature</Code>"),
    ]);
  });
});
