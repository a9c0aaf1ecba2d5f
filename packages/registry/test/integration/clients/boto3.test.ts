import { expect, it } from "vitest";

import { ClientRegistry } from "../../support/foreign-clients.ts";

const DONE =
  "put_and_get checksums streams unusual_keys listings copies multipart create_only deletion wrong_keys presigned";

it.each(["http", "https"] as const)("boto3 does over %s what people do with it", async (kind) => {
  await using clients = await ClientRegistry.start(kind);
  const { code, stdout, stderr } = await clients.python("boto3_client.py");
  expect([stdout.trim().split("\n").join(" "), stderr, code]).toEqual([DONE, "", 0]);
});
