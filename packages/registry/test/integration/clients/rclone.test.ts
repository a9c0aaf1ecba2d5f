import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { ClientRegistry, type Ended, fileSha256 } from "../../support/foreign-clients.ts";
import { UPLOADER } from "../../support/registry.ts";

let clients: ClientRegistry;
beforeAll(async () => {
  clients = await ClientRegistry.start();
});
afterAll(() => clients[Symbol.asyncDispose]());

const rclone = (args: readonly string[], secretKey: string = UPLOADER.secretKey): Promise<Ended> =>
  clients.run("rclone", ["--config", "/dev/null", "--retries", "1", "--low-level-retries", "1", ...args], {
    RCLONE_CONFIG_OL_TYPE: "s3",
    RCLONE_CONFIG_OL_PROVIDER: "Other",
    RCLONE_CONFIG_OL_ENDPOINT: clients.endpoint,
    RCLONE_CONFIG_OL_REGION: "us-east-1",
    RCLONE_CONFIG_OL_ACCESS_KEY_ID: UPLOADER.accessKey,
    RCLONE_CONFIG_OL_SECRET_ACCESS_KEY: secretKey,
    // Who may only use buckets is not to try and make them.
    RCLONE_CONFIG_OL_NO_CHECK_BUCKET: "true",
  });
const done = async (...args: string[]): Promise<string> => {
  const { code, stdout, stderr } = await rclone(args);
  expect({ code, stderr }).toMatchObject({ code: 0 });
  return stdout;
};

describe("rclone", () => {
  it("puts, lists, gets, copies and deletes", async () => {
    await done("copyto", await clients.file("hello", "hello"), "ol:code/dir/hello ü.txt");
    expect(await done("lsf", "--format", "ps", "ol:code/dir")).toBe("hello ü.txt;5\n");
    expect(await done("cat", "ol:code/dir/hello ü.txt")).toBe("hello");
    await done("copyto", "ol:code/dir/hello ü.txt", "ol:code/copy");
    expect(clients.registry.store.head("code", "copy").size).toBe(5);
    await done("delete", "ol:code/dir");
    expect(await done("lsf", "-R", "ol:code")).toBe("copy\n");
  });

  it("moves 50 MB in parts", async () => {
    await done("copyto", "--s3-upload-cutoff", "5M", "--s3-chunk-size", "5M", clients.large, "ol:code/large");
    expect(clients.registry.store.head("code", "large").etag).toMatch(/-10$/u);
    await done("copyto", "ol:code/large", clients.target("back"));
    expect(await fileSha256(clients.target("back"))).toBe(clients.largeDigest);
    await done("copyto", "--s3-copy-cutoff", "10M", "ol:code/large", "ol:code/large-copy");
    expect(clients.registry.store.head("code", "large-copy").size).toBe(50 * 1024 * 1024);
    await done(
      "check",
      "--download",
      clients.registry.directory,
      "ol:code",
      "--include",
      "/large",
      "--one-way",
    );
    await done("deletefile", "ol:code/large");
  });

  it("presigns", async () => {
    await done("copyto", await clients.file("signed", "by URL"), "ol:code/signed");
    const url = (await done("link", "--expire", "60s", "ol:code/signed")).trim();
    expect(await (await fetch(url)).text()).toBe("by URL");
  });

  it("is told when its key is wrong, or may not do that", async () => {
    const wrong = await rclone(
      ["copyto", await clients.file("hello", "hello"), "ol:code/wrong"],
      "wrong-secret",
    );
    expect([wrong.code > 0, wrong.stderr]).toEqual([true, expect.stringMatching(/status code: 403/u)]);
    const forbidden = await rclone(["mkdir", "ol:mine"]);
    expect([forbidden.code > 0 || forbidden.stderr === "", clients.registry.store.hasBucket("mine")]).toEqual(
      [true, false],
    );
  });
});
