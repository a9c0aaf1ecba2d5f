import { afterAll, beforeAll, describe, expect, it } from "vitest";

import {
  type Client,
  agentClient,
  curlClient,
  rawClient,
  undiciClient,
} from "../../packages/worker/test/http/clients.ts";
import { RawConnection, valuesOf } from "../../packages/worker/test/http/raw-connection.ts";
import { AppWorker, KINDS } from "./support/app-worker.ts";
import type { Wish } from "./support/nasty-replies.ts";

/** Every byte there is, more often than a frame holds. */
const BYTES = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
const LARGE = Buffer.alloc(3_000_000, BYTES);

let worker: AppWorker;
const clients: readonly Client[] = [rawClient(), agentClient(), undiciClient(), curlClient()];

beforeAll(async () => {
  worker = await AppWorker.start();
});
afterAll(async () => {
  for (const client of clients) await client.close();
  await worker.close();
});

const connection = (): RawConnection => new RawConnection(worker.port);

/** A request without a body, to be written by hand. */
const head = (method: string, target: string, ...fields: readonly string[]): string =>
  [`${method} ${target} HTTP/1.1`, "Host: localhost:8080", ...fields, "", ""].join("\r\n");

const said = (kind: string, wish: Wish): string =>
  `/run/${kind}/say?${encodeURIComponent(JSON.stringify(wish))}`;

/** An ASGI app says its fields as a list, a WSGI app each as a variable. */
type Seen = Readonly<Record<string, string>> & { readonly headers?: string[][] };

/** The fields that either kind of app says it saw under /request. */
const fieldsSeen = (text: string): string[][] => {
  const { headers, ...environ } = JSON.parse(text) as Seen;
  if (headers !== undefined) return headers;
  return Object.entries(environ)
    .filter(([key]) => key.startsWith("HTTP_"))
    .map(([key, value]) => [key.slice(5).toLowerCase().replaceAll("_", "-"), value]);
};

describe.each(KINDS)("an app (%s)", (kind) => {
  it.each(clients.map((client) => [client.name, client] as const))(
    "answers through %s with its status, its fields and every byte of the body, in chunks or not",
    async (_name, client) => {
      for (const body of [BYTES, LARGE])
        for (const chunked of [false, true]) {
          const reply = await client.send(worker.port, {
            method: "POST",
            path: `/run/${kind}/echo`,
            body,
            chunked,
          });
          expect(reply.status).toBe(207);
          expect(reply.headers["a"]).toBe("B");
          expect(reply.body.equals(body)).toBe(true);
        }
    },
  );

  it("hears the path after its mount as the client wrote it, and the query", async () => {
    for (const mount of [`/run/${kind}`, `/runLambda/${kind}`]) {
      const seen = await worker.json<Record<string, unknown>>(`${mount}/request/a%20b/%C3%A9?x=1&y=%20`);
      expect(seen).toMatchObject(
        kind === "wsgi"
          ? { SCRIPT_NAME: mount, PATH_INFO: "/request/a b/\u00c3\u00a9", QUERY_STRING: "x=1&y=%20" }
          : {
              root_path: mount,
              path: `${mount}/request/a b/é`,
              raw_path: `${mount}/request/a%20b/%C3%A9`,
              query: "x=1&y=%20",
            },
      );
    }
  });

  it("hears every field of the request, and none in the worker's name", async () => {
    const raw = connection();
    const fields = Array.from({ length: 200 }, (_, at) => `X-Field-${at}: ${at}`);
    const odd = ["Cookie: a=1", "Cookie: b=2", "X-Latin: \xe9", "X-OL-Not-Started: 1", "X-Empty:"];
    await raw.write(head("GET", `/run/${kind}/request`, ...fields, ...odd));
    const reply = await raw.reply();
    const seen = fieldsSeen(reply?.body.toString() ?? "");
    expect(JSON.stringify(seen)).not.toMatch(/not.started/u);
    const cookies =
      kind === "wsgi"
        ? [["cookie", "a=1; b=2"]]
        : [
            ["cookie", "a=1"],
            ["cookie", "b=2"],
          ];
    const expected = [...cookies, ["x-latin", "\xe9"], ["x-empty", ""]];
    for (let at = 0; at < 200; at += 1) expected.push([`x-field-${at}`, String(at)]);
    expect(seen).toEqual(expect.arrayContaining(expected));
    raw.close();
  });

  it("may set a field twice, 250 fields, and fields of any byte", async () => {
    const raw = connection();
    await raw.write(head("GET", `/run/${kind}/echo`));
    const reply = await raw.reply();
    if (reply === undefined) throw new Error("no reply");
    expect(valuesOf(reply, "set-cookie")).toEqual(["a=1", "b=2"]);
    expect(valuesOf(reply, "x-latin")).toEqual(["\xe9"]);
    const many = Array.from({ length: 250 }, (_, at) => [`X-Field-${at}`, String(at)] as const);
    await raw.write(head("GET", said(kind, { headers: many, pieces: ["body"] })));
    const full = await raw.reply();
    expect(full?.fields).toEqual(expect.arrayContaining(many));
    expect(full?.body.toString()).toBe("body");
    raw.close();
  });

  it("answers requests that came in one go in their order, whatever their bodies are", async () => {
    const raw = connection();
    const target = `/run/${kind}/echo`;
    await raw.write(
      head("POST", target, "Content-Length: 5"),
      "first",
      head("POST", target, "Transfer-Encoding: chunked"),
      "3;ext=1\r\nsec\r\n3\r\nond\r\n0\r\nX-Trailer: 1\r\n\r\n",
      head("HEAD", target),
      head("GET", target),
      head("POST", target, "Content-Length: 0"),
      head("POST", "/run/nobody", "Content-Length: 4"),
      "lost",
      head("POST", target, "Content-Length: 4", "Connection: close"),
      "last",
    );
    const seen: unknown[] = [];
    for (const method of ["POST", "POST", "HEAD", "GET", "POST", "POST", "POST"]) {
      const reply = await raw.reply(method);
      seen.push([reply?.status, reply?.status === 404 ? "" : reply?.body.toString()]);
    }
    const empty = [207, ""];
    expect(seen).toEqual([[207, "first"], [207, "second"], empty, empty, empty, [404, ""], [207, "last"]]);
    expect(await raw.reply()).toBeUndefined();
  });

  it.each([
    ["a small body", 5],
    ["a large one", 500_000],
  ])("is sent %s after Expect: 100-continue", async (_what, size) => {
    const raw = connection();
    const fields = [`Content-Length: ${size}`, "Expect: 100-continue"];
    await raw.write(head("POST", `/run/${kind}/echo`, ...fields));
    await raw.through("HTTP/1.1 100 Continue\r\n\r\n");
    const body = LARGE.subarray(0, size);
    void raw.write(body);
    const reply = await raw.reply("POST");
    expect(reply?.status).toBe(207);
    expect(reply?.body.equals(body)).toBe(true);
    raw.close();
  });

  it("of a status that has no body sends none, and HEAD gets none", async () => {
    const raw = connection();
    for (const [method, wish, status] of [
      ["GET", { status: 204 }, 204],
      ["GET", { status: 304, headers: [["ETag", '"1"']] }, 304],
      ["HEAD", { headers: [["Content-Length", "4"]], pieces: ["body"] }, 200],
      ["HEAD", { stream: true, pieces: ["bo", "dy"] }, 200],
      ["GET", { pieces: [] }, 200],
      ["GET", { stream: true, pieces: [] }, 200],
    ] as const) {
      await raw.write(head(method, said(kind, wish)));
      const reply = await raw.reply(method);
      expect([reply?.status, reply?.body.length, reply?.broken]).toEqual([status, 0, false]);
      expect(reply?.headers["etag"]).toBe(status === 304 ? '"1"' : undefined);
    }
    raw.close();
  });

  it("answers an HTTP/1.0 client by ending the connection, or by a length if it may be kept", async () => {
    const raw = connection();
    await raw.write(`GET /run/${kind}/request HTTP/1.0\r\nConnection: keep-alive\r\n\r\n`);
    const kept = await raw.reply();
    expect(kept?.headers).toMatchObject({ connection: "keep-alive" });
    await raw.write(
      `POST /run/${kind}/echo HTTP/1.0\r\nContent-Length: 300000\r\n\r\n`,
      LARGE.subarray(0, 300_000),
    );
    const reply = await raw.reply();
    expect(reply?.headers).not.toHaveProperty("transfer-encoding");
    expect(reply?.body.length).toBe(300_000);
    expect(await raw.reply()).toBeUndefined();
  });

  it("is refused methods that ol.yaml does not name", async () => {
    await worker.add(`${kind}-methods`, kind, "triggers:\n  http:\n    - method: GET\n");
    const reply = await worker.post(`/run/${kind}-methods/echo`, "x");
    expect([reply.status, reply.headers["allow"]]).toEqual([405, "GET"]);
    expect((await worker.get(`/run/${kind}-methods/echo`)).status).toBe(207);
  });

  it("gets bodies of any size, whatever limits.body_mb says", async () => {
    await worker.add(`${kind}-limited`, kind, "limits:\n  body_mb: 1\n");
    // Before its kind is known, and after.
    for (let round = 0; round < 2; round += 1) {
      const reply = await worker.post(`/run/${kind}-limited/upload`, LARGE);
      expect(JSON.parse(reply.body.toString())).toMatchObject({ bytes: LARGE.length });
    }
  });
});

it("a function gets no body over limits.body_mb, before its kind is known or after, with a Content-Length or not", async () => {
  const client = agentClient();
  for (const chunked of [false, true]) {
    const name = `measured-${chunked}`;
    await worker.addFunction(name, "def f(event):\n    return len(event)\n", "limits:\n  body_mb: 1\n");
    const send = (size: number) =>
      client.send(worker.port, {
        method: "POST",
        path: `/run/${name}`,
        body: `"${"x".repeat(size)}"`,
        chunked,
      });
    const statuses: number[] = [];
    for (const size of [1_100_000, 1_100_000, 1_000_000, 1_100_000]) statuses.push((await send(size)).status);
    expect(statuses).toEqual([413, 413, 200, 413]);
  }
  await client.close();
});

describe("an app's entry", () => {
  it("is app in the file that OL_ENTRY_FILE names", async () => {
    const reply = await worker.get("/run/app-file");
    expect([reply.status, reply.headers["a"], reply.body.toString()]).toEqual([418, "B", "hi\n"]);
  });

  it("is what OL_WSGI_ENTRY names", async () => {
    expect((await worker.get("/run/main-file/x")).body.toString()).toBe("/x");
  });
});

describe("what an app sees", () => {
  it("passes the standard library's check of WSGI servers, whatever the request", async () => {
    for (const chunked of [false, true])
      for (const body of ["", "a body", LARGE]) {
        const request = { method: "POST", path: "/run/checked-wsgi/a?b", body, chunked };
        const reply = await rawClient().send(worker.port, request);
        const { status } = reply;
        expect({ status, text: status === 200 ? "" : reply.body.toString() }).toEqual({
          status: 200,
          text: "",
        });
        expect(reply.body.equals(Buffer.from(body))).toBe(true);
      }
    expect((await worker.get("/run/checked-wsgi")).status).toBe(200);
  });

  it("is the whole scope of ASGI, and the lifespan's state, unchanged by the request before", async () => {
    for (let round = 0; round < 2; round += 1) {
      const raw = connection();
      const target = "/run/checked-asgi/a%20b/%C3%A9?x=1&y=%20";
      await raw.write(head("PUT", target, "X-Mixed-Case: Kept", "Content-Length: 4"), "body");
      const reply = await raw.reply();
      expect([reply?.status, reply?.body.toString()]).toEqual([200, '["lifespan", "http"]']);
      raw.close();
    }
  });
});
