import type { Logger } from "@ol/common";
import { describe, expect, it } from "vitest";

import { RegistryServer } from "../../src/index.ts";
import { ADMIN, READER, TestRegistry, UPLOADER } from "../support/registry.ts";

describe("the pages beside S3", () => {
  it("show that the registry is ready, and numbers, to who signs nothing", async () => {
    await using registry = await TestRegistry.start();
    await registry.send("PUT", "/code/secret-name", { body: "x" });
    await registry.send("GET", "/code/not-there");
    const status = await registry.send("GET", "/status", { as: null });
    expect([status.status, status.text]).toEqual([200, "ready"]);
    expect((await registry.send("HEAD", "/status", { as: null })).status).toBe(200);
    const metrics = await registry.send("GET", "/metrics", { as: null });
    expect(metrics.text).toContain('ol_registry_requests_total{operation="PutObject",status="200"} 1');
    expect(metrics.text).toContain('ol_registry_errors_total{code="NoSuchKey"} 1');
    expect(metrics.text).toContain("ol_registry_objects 1");
    expect(metrics.text).toContain("ol_registry_received_bytes_total 1");
    const stats = await registry.send("GET", "/stats", { as: null });
    expect(JSON.parse(stats.text)).toMatchObject({
      requests: { failed: 1 },
      store: { objects: 1, bytes: 1 },
      scrub: { running: false },
    });
    for (const { text } of [metrics, stats]) {
      expect(text).not.toContain("secret-name");
      expect(text).not.toContain('code":');
      for (const { accessKey, secretKey } of [ADMIN, UPLOADER, READER]) {
        expect(text).not.toContain(accessKey);
        expect(text).not.toContain(secretKey);
      }
    }
  });

  it("take no bucket's name away: with a signature they are buckets", async () => {
    await using registry = await TestRegistry.start();
    for (const name of ["status", "metrics", "stats"]) {
      expect((await registry.send("GET", `/${name}`)).code).toBe("NoSuchBucket");
      expect((await registry.send("PUT", `/${name}`, { body: "" })).status).toBe(200);
      expect((await registry.send("GET", `/${name}`)).text).toContain("<ListBucketResult");
      expect((await registry.send("GET", `/${name}`, { as: null })).text).not.toContain("<ListBucketResult");
    }
    expect((await registry.send("GET", "/code", { as: null })).code).toBe("AccessDenied");
    expect((await registry.send("DELETE", "/status", { as: null })).code).toBe("AccessDenied");
  });

  it("are for nobody, if that is wanted, but for the status", async () => {
    await using registry = await TestRegistry.start({ pagesFor: "none" });
    expect((await registry.send("GET", "/metrics", { as: null })).code).toBe("AccessDenied");
    expect((await registry.send("GET", "/stats", { as: null })).code).toBe("AccessDenied");
    expect((await registry.send("GET", "/status", { as: null })).text).toBe("ready");
  });
});

describe("keys", () => {
  it("are never in a log or an error, whatever is done with them", async () => {
    const lines: string[] = [];
    const log = (message: string, fields?: unknown): void =>
      void lines.push(`${message} ${JSON.stringify(fields)}`);
    const logger: Logger = { debug: log, info: log, warn: log, error: log };
    await using registry = await TestRegistry.start({ logger });
    const replies = [
      await registry.send("PUT", "/code/a", { body: "x" }),
      await registry.send("GET", "/code/a", {
        presignedFor: 60,
        headers: { "x-amz-content-sha256": "UNSIGNED-PAYLOAD" },
      }),
      await registry.send("GET", "/code/a", { as: { ...ADMIN, secretKey: "wrong-secret" } }),
      await registry.send("GET", "/code/a", { as: { ...ADMIN, accessKey: "unknown-key" }, presignedFor: 60 }),
      await registry.send("PUT", "/code/b", { body: "x", as: READER, presignedFor: 60 }),
      await registry.send("PUT", "/code/c", { body: "x", headers: { "content-md5": "no" } }),
      await registry.raw("GET", "/code/%?X-Amz-Signature=visible", [
        "host",
        "x",
        "authorization",
        "AWS4-HMAC-SHA256 visible",
      ]),
    ];
    await expect.poll(() => lines.length).toBeGreaterThanOrEqual(replies.length);
    const all = [...lines, ...replies.map(({ text, headers }) => text + JSON.stringify(headers))].join("\n");
    for (const word of [
      "admin-key",
      "admin-secret",
      "read-key",
      "read-secret",
      "wrong-secret",
      "unknown-key",
      "Signature=",
      "visible",
    ])
      expect(all).not.toContain(word);
  });

  it("are refused at the start if they are too short, or there twice", async () => {
    await using registry = await TestRegistry.start();
    const start = (keys: readonly { accessKey: string; secretKey: string }[]): Promise<RegistryServer> =>
      RegistryServer.start({
        store: registry.store,
        keys: keys.map((pair) => ({ ...pair, role: "admin" })),
        addresses: ["127.0.0.1"],
        port: 0,
      });
    for (const keys of [
      [{ accessKey: "ab", secretKey: "long-enough" }],
      [{ accessKey: "abc", secretKey: "short" }],
      [
        { accessKey: "abc", secretKey: "long-enough" },
        { accessKey: "abc", secretKey: "long-enough-too" },
      ],
    ])
      await expect(start(keys)).rejects.toMatchObject({
        code: "OL_REGISTRY_BAD_OPTION",
        message: expect.not.stringContaining("long-enough"),
      });
  });
});

describe("a port", () => {
  it("that is in use is said to be", async () => {
    await using registry = await TestRegistry.start();
    const again = RegistryServer.start({
      store: registry.store,
      keys: [ADMIN],
      addresses: ["127.0.0.1"],
      port: registry.server.port,
    });
    await expect(again).rejects.toMatchObject({
      code: "OL_REGISTRY_PORT_IN_USE",
      message: expect.stringContaining("registry_port"),
    });
  });
});
