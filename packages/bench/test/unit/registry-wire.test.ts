import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

import { describe, expect, it, onTestFinished } from "vitest";

import { renewed, S3Wire } from "../../src/registry/s3-wire.ts";

/** A server that answers with a status and text. */
const server = async (status: number, text: string): Promise<number> => {
  const answers = createServer((request, response) => {
    request.resume();
    request.on("end", () => response.writeHead(status).end(text));
  });
  await new Promise<void>((resolve) => answers.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void answers.close());
  return (answers.address() as AddressInfo).port;
};

describe("what is measured of a registry", () => {
  it("is never a request that was refused", async () => {
    const wire = new S3Wire(await server(403, "no"));
    onTestFinished(() => wire.close());
    await expect(wire.put("/registry/a", renewed(Buffer.alloc(100)))).rejects.toMatchObject({
      code: "OL_BENCH_WRONG_REPLY",
    });
    await expect(wire.get("/registry/a")).rejects.toMatchObject({ code: "OL_BENCH_WRONG_REPLY" });
  });

  it("counts every byte of what it gets", async () => {
    const wire = new S3Wire(await server(200, "x".repeat(100_000)));
    onTestFinished(() => wire.close());
    expect(await wire.get("/registry/a")).toBe(100_000);
  });

  it("is a content that differs each time", () => {
    const bytes = Buffer.alloc(100);
    const { sha256 } = renewed(bytes);
    expect(renewed(bytes).sha256).not.toBe(sha256);
  });
});
