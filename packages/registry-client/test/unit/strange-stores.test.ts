import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from "node:net";

import { silentLogger } from "@ol/common";
import { describe, expect, it, onTestFinished, vi } from "vitest";

import { RegistryClient, type RegistryClientOptions } from "../../src/index.ts";
import { bundle, soon, textOf } from "../support/bundles.ts";

const DIGEST = "a".repeat(64);
const RECORD = JSON.stringify({ digest: DIGEST, size: 1, time: "2026-01-01T00:00:00Z", history: [] });

/** Of those that wait for what does not come; the others' is for machines that stand still for a while. */
const SHORT_MS = 400;

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

const listening = async (
  server: Server,
  options: Partial<RegistryClientOptions> = {},
): Promise<RegistryClient> => {
  const sockets = new Set<Socket>();
  server.on("connection", (socket) => sockets.add(socket));
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as AddressInfo;
  const client = RegistryClient.create({
    endpoint: new URL(`http://127.0.0.1:${port}`),
    bucket: "registry",
    accessKey: "some-key",
    secretKey: "some-secret",
    timeoutMs: 20_000,
    ...options,
  });
  onTestFinished(async () => {
    await client[Symbol.asyncDispose]();
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  return client;
};

/** A client of somebody else's server, which answers as it likes. */
const clientOf = (answer: Answer, options: Partial<RegistryClientOptions> = {}): Promise<RegistryClient> =>
  listening(
    createServer((request, response) => {
      request.resume();
      answer(request, response);
    }),
    options,
  );

const sound: Answer = (_, response) => response.writeHead(200, { etag: '"e"' }).end(RECORD);

const refusal = (status: number, code: string, more = "", headers = {}): Answer => {
  const body = `<?xml version="1.0"?><Error><Code>${code}</Code><Message>So it is.</Message>${more}</Error>`;
  return (_, response) =>
    response.writeHead(status, { "content-type": "application/xml", ...headers }).end(body);
};

const failureOf = async (failing: Promise<unknown>): Promise<{ code: string; message: string }> => {
  const error: unknown = await failing.catch((why: unknown) => why);
  expect(JSON.stringify(error, Object.getOwnPropertyNames(error))).not.toContain("some-secret");
  return error as { code: string; message: string };
};

const tagOf = (client: RegistryClient) => client.tag("a", "latest", { signal: soon() });

const endless = (response: ServerResponse): void => {
  const more = (): void => {
    if (!response.destroyed) response.write("x".repeat(10_000), () => setImmediate(more));
  };
  more();
};

const trickle = (response: ServerResponse): void => {
  const timer = setInterval(() => response.write(" "), 50);
  response.on("close", () => clearInterval(timer));
};

/** How it answers, the code of the error, and words that must be in it. */
const STRANGE: readonly (readonly [how: string, Answer, code: string, words: string])[] = [
  ["answers in HTML", (_, response) => response.end("<html>Welcome!</html>"), "BAD_ANSWER", "is no tag"],
  [
    "has another clock",
    refusal(403, "RequestTimeTooSkewed", "", { date: "Thu, 01 Jan 2026 00:00:00 GMT" }),
    "CLOCK",
    "01 Jan 2026",
  ],
  [
    "is in another region",
    refusal(400, "AuthorizationHeaderMalformed", "<Region>eu-west-1</Region>"),
    "REGION",
    "in region eu-west-1, not in us-east-1",
  ],
  [
    "sends elsewhere",
    refusal(301, "PermanentRedirect", "", { "x-amz-bucket-region": "eu-west-2" }),
    "REGION",
    "eu-west-2",
  ],
  ["does not know the key", refusal(403, "InvalidAccessKeyId"), "DENIED", "does not know the access key"],
  [
    "does not take the signature",
    refusal(403, "SignatureDoesNotMatch"),
    "DENIED",
    "the secret key is not that",
  ],
  [
    "does not know the key, as versitygw says it",
    refusal(404, "XAdminUserNotFound"),
    "DENIED",
    "does not know the access key",
  ],
  [
    "has something else before it",
    (_, response) => response.writeHead(404).end("<h1>Not Found</h1>"),
    "REFUSED",
    "answered 404",
  ],
  [
    "says no without a word",
    (_, response) => response.writeHead(403).end(),
    "DENIED",
    "does not take the keys",
  ],
  ["has no such bucket", refusal(404, "NoSuchBucket"), "NO_BUCKET", "has no bucket registry"],
  ["fails at everything", refusal(500, "InternalError"), "REFUSED", "500 InternalError: So it is."],
  [
    "says to whom knows nothing that nothing changed",
    (_, response) => response.writeHead(304).end(),
    "REFUSED",
    "answered 304",
  ],
  [
    "does not say which state a tag is in",
    (_, response) => response.end(RECORD),
    "BAD_ANSWER",
    "without an ETag",
  ],
  ["is full", refusal(507, "InsufficientStorage"), "REFUSED", "507 InsufficientStorage"],
  ["closes the connection", (request) => request.socket.destroy(), "UNREACHABLE", "ECONNRESET"],
  ["never answers", () => undefined, "UNREACHABLE", `${SHORT_MS} ms`],
  ["never ends its answer", (_, response) => void response.write("{"), "UNREACHABLE", `${SHORT_MS} ms`],
  ["answers without an end", (_, response) => endless(response), "BAD_ANSWER", "longer than 65536 bytes"],
  ["trickles", (_, response) => trickle(response), "UNREACHABLE", `no answer within ${SHORT_MS} ms`],
];

describe("a registry client whose store is none, or a strange one", () => {
  it.each(STRANGE)("that %s gets one error that says so", async (_, answer, code, words) => {
    const waits = words.includes(`${SHORT_MS} ms`);
    const client = await clientOf(answer, waits ? { timeoutMs: SHORT_MS } : {});
    const { code: found, message } = await failureOf(tagOf(client));
    expect(found).toBe(`OL_REGISTRY_CLIENT_${code}`);
    expect(message).toContain(words);
    expect(message).not.toContain("\n");
  });

  it("that never ends saying no is not listened to for ever, also about a bundle", async () => {
    const client = await clientOf((_, response) => trickle(response.writeHead(507)), {
      timeoutMs: SHORT_MS,
    });
    const { code, message } = await failureOf(client.download("a", DIGEST, soon()));
    expect(code).toBe("OL_REGISTRY_CLIENT_UNREACHABLE");
    expect(message).toContain(`no end of its answer within ${SHORT_MS} ms`);
  });

  it("that speaks no HTTP, or no TLS, is told apart from one that is down", async () => {
    const noise = createTcpServer((socket) => socket.end("SSH-2.0-OpenSSH_9.2\r\n"));
    expect(await failureOf(tagOf(await listening(noise)))).toMatchObject({
      code: "OL_REGISTRY_CLIENT_BAD_ANSWER",
      message: expect.stringContaining("speaks no HTTP"),
    });
    const plain = createServer((_, response) => response.end());
    await listening(plain);
    const { port } = plain.address() as AddressInfo;
    const secure = await clientOf(() => undefined, { endpoint: new URL(`https://127.0.0.1:${port}`) });
    expect(await failureOf(tagOf(secure))).toMatchObject({
      code: "OL_REGISTRY_CLIENT_UNREACHABLE",
      message: expect.stringContaining("speaks no TLS"),
    });
    const down = await clientOf(() => undefined, { endpoint: new URL("http://127.0.0.1:1") });
    expect(await failureOf(tagOf(down))).toMatchObject({
      code: "OL_REGISTRY_CLIENT_UNREACHABLE",
      message: expect.stringContaining("nothing listens there"),
    });
  });

  it.each([
    ["nothing", "not even XML"],
    ["another document", "<ListBucketsResult/>"],
    ["an end that is none", "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>"],
    ["an error with status 200", "<Error><Code>Oops</Code></Error>"],
  ])("lists %s and the error says that it makes no sense", async (_, body) => {
    const client = await clientOf((_request, response) => response.end(body));
    expect(await failureOf(client.list(soon()))).toHaveProperty("code", "OL_REGISTRY_CLIENT_BAD_ANSWER");
  });

  it("lists what it likes, and keys that are nobody's are left alone", async () => {
    const keys = [
      "handlers/a/tags/latest.json",
      "handlers/../x/blobs/y",
      "handlers/a/blobs/short.tar.gz",
      ".hidden.tar.gz",
      "b.tar.gz",
      "handlers//z",
    ];
    const contents = keys.map(
      (key) =>
        `<Contents><Key>${key}</Key><LastModified>2026-01-01T00:00:00Z</LastModified><ETag>"e"</ETag><Size>5</Size></Contents>`,
    );
    const client = await clientOf((request, response) => {
      const top = request.url?.includes("delimiter=%2F") === true;
      if (request.url?.includes("list-type") !== true) sound(request, response);
      else
        response.end(
          `<ListBucketResult>${(top ? contents.slice(3, 5) : contents).join("")}<IsTruncated>false</IsTruncated></ListBucketResult>`,
        );
    });
    expect((await client.list(soon())).map(({ name }) => name)).toEqual(["a", "b"]);
  });

  it("that is overloaded for a moment is asked again", async () => {
    let asked = 0;
    const client = await clientOf((request, response) => {
      asked += 1;
      if (asked <= 2) refusal(503, "SlowDown")(request, response);
      else sound(request, response);
    });
    expect(await tagOf(client)).toMatchObject({ record: { digest: DIGEST } });
    expect(asked).toBe(3);
  });

  it("that closes a connection when the next request comes is asked again on another", async () => {
    let connections = 0;
    const server = createServer(sound);
    server.on("connection", (socket) => {
      connections += 1;
      let requests = 0;
      // Behind node's back, so that it is not announced.
      socket.prependListener("data", () => {
        requests += 1;
        if (requests > 1) socket.resetAndDestroy();
      });
    });
    const client = await listening(server);
    for (let count = 0; count < 5; count += 1) expect(await tagOf(client)).toBeTypeOf("object");
    expect(connections).toBe(5);
  });

  it("that ends a bundle too soon, or sends another one, is found out", async () => {
    const bytes = Buffer.from("the code");
    const digest = createHash("sha256").update(bytes).digest("hex");
    const cut = await clientOf((_, response) => {
      response.writeHead(200, { "content-length": 100 }).write(bytes);
      setImmediate(() => response.destroy());
    });
    const read = async (client: RegistryClient) => textOf(await client.download("a", digest, soon()));
    expect(await failureOf(read(cut))).toHaveProperty("code", "OL_REGISTRY_CLIENT_UNREACHABLE");
    const other = await clientOf((_, response) => response.end("other code"));
    expect(await failureOf(read(other))).toHaveProperty("code", "OL_REGISTRY_CLIENT_BAD_DIGEST");
    const partly: Answer = (_, response) =>
      void response.writeHead(200, { "content-length": 100 }).write(bytes);
    const silent = await clientOf(partly, { timeoutMs: SHORT_MS });
    expect(await failureOf(read(silent))).toMatchObject({
      code: "OL_REGISTRY_CLIENT_UNREACHABLE",
      message: expect.stringContaining(`nothing came for ${SHORT_MS} ms`),
    });
    const right = await clientOf((_, response) => response.end(bytes));
    expect(await read(right)).toBe("the code");
  });
});

/** Keeps objects, and looks at conditions as it is told. */
const memoryStore = (conditions: "ignored" | "refused"): Answer => {
  const objects = new Map<string, Buffer>();
  return (request, response) => {
    const [path = ""] = (request.url ?? "").split("?");
    const conditional =
      request.headers["if-none-match"] !== undefined || request.headers["if-match"] !== undefined;
    if (request.method === "PUT" && conditional && conditions === "refused")
      return refusal(501, "NotImplemented")(request, response);
    if (request.method === "PUT") {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", () => {
        objects.set(path, Buffer.concat(chunks));
        response.end();
      });
      return;
    }
    if (request.url?.includes("list-type") === true) {
      const prefix = decodeURIComponent(
        /prefix=(?<prefix>[^&]*)/u.exec(request.url)?.groups?.["prefix"] ?? "",
      );
      const keys = [...objects.keys()]
        .map((key) => key.slice("/registry/".length))
        .filter((key) => key.startsWith(prefix));
      const contents = keys.map(
        (key) => `<Contents><Key>${key}</Key><ETag>"e"</ETag><Size>1</Size></Contents>`,
      );
      return void response.end(
        `<ListBucketResult>${contents.join("")}<IsTruncated>false</IsTruncated></ListBucketResult>`,
      );
    }
    if (request.method === "DELETE") {
      objects.delete(path);
      return void response.writeHead(204).end();
    }
    const found = path === "/registry" ? Buffer.alloc(0) : objects.get(path);
    if (found === undefined) return refusal(404, "NoSuchKey")(request, response);
    response.writeHead(200, { etag: '"e"', "content-length": found.length });
    response.end(request.method === "HEAD" ? undefined : found);
  };
};

describe.each(["ignored", "refused"] as const)(
  "a store by which conditions on writes are %s",
  (conditions) => {
    it("can be used all the same; who creates only is told what that is worth", async () => {
      const warn = vi.fn<(message: string) => void>();
      const client = await clientOf(memoryStore(conditions), { logger: { ...silentLogger, warn } });
      expect(await client.probe(soon())).toEqual({ conditionalWrites: false });
      const [one, two] = [await bundle("a"), await bundle("a")];
      await client.upload({ ...one, createOnly: true }, { signal: soon() });
      expect(warn).toHaveBeenCalledWith(expect.stringContaining("ignores conditions"), { lambda: "a" });
      await expect(client.upload({ ...two, createOnly: true }, { signal: soon() })).rejects.toHaveProperty(
        "code",
        "OL_REGISTRY_CLIENT_EXISTS",
      );
      await client.upload(two, { signal: soon() });
      expect(await client.rollback({ name: "a" }, soon())).toEqual({
        digest: one.digest,
        previous: two.digest,
      });
    });
  },
);
