import { connect } from "node:net";

import { afterAll, describe, expect, it } from "vitest";

import { type HttpCase, HTTP_CASES } from "./cases.ts";
import { ENVIRONMENT_VALUE } from "./lambdas.ts";
import { RawConnection } from "./raw-connection.ts";
import { agentClient, type Client, parseReply, rawExchange, type TestReply } from "./clients.ts";

/** The worker under test. */
export interface WorkerUnderTest {
  port(): number;
  /** Text that no reply may hold: paths of the host, such as its temporary directory. */
  secrets(): readonly string[];
}

const matches = (actual: string | undefined, wanted: string | RegExp): boolean =>
  actual !== undefined && (typeof wanted === "string" ? actual === wanted : wanted.test(actual));

const expectCase = (reply: TestReply, wanted: HttpCase, secrets: readonly string[]): void => {
  const text = reply.body.toString();
  expect({ status: reply.status, text: text.slice(0, 2_000) }).toMatchObject({ status: wanted.status });
  if (wanted.body !== undefined && !matches(text, wanted.body)) expect(text).toBe(wanted.body);
  for (const [name, value] of Object.entries(wanted.headers ?? {}))
    if (!matches(reply.headers[name], value))
      expect({ [name]: reply.headers[name] }).toEqual({ [name]: value });
  for (const name of wanted.without ?? []) expect(reply.headers).not.toHaveProperty(name);
  for (const secret of [...secrets, ENVIRONMENT_VALUE]) expect(text).not.toContain(secret);
};

/** Every case through one client. */
export const casesThrough = (client: Client, worker: WorkerUnderTest): void => {
  describe(`through ${client.name}`, () => {
    afterAll(() => client.close());
    const cases = HTTP_CASES.filter(
      ({ request }) => client.normalizes !== true || !request.path.includes(".."),
    );
    it.each(cases)("$title", async (wanted) => {
      const reply = await client.send(worker.port(), wanted.request);
      expect(reply.status).toBeGreaterThan(0);
      expectCase(reply, wanted, worker.secrets());
    });
  });
};

const statusOf = async (port: number, text: string): Promise<number> =>
  parseReply(await rawExchange(port, [text])).status;

const one = (body: string, more = ""): string =>
  `POST /run/echo HTTP/1.1\r\nHost: a\r\n${more}Content-Length: ${body.length}\r\n\r\n${body}`;

/** What only hand-made bytes can show. */
export const rawCases = (worker: WorkerUnderTest): void => {
  describe("odd and hostile requests", () => {
    it.each([
      ["two Host headers", "GET /run/echo HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n"],
      [
        "two Host headers on a page",
        "GET /status HTTP/1.1\r\nHost: a\r\nhost: a\r\nConnection: close\r\n\r\n",
      ],
      ["no Host header", "GET /run/echo HTTP/1.1\r\nConnection: close\r\n\r\n"],
      [
        "the absolute form of another host",
        "GET http://evil/run/echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
      ],
      ["a target that is no path", "GET run/echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"],
      [
        "Content-Length and Transfer-Encoding together",
        "POST /run/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      ],
      [
        "two Content-Lengths",
        "POST /run/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
      ],
      ["a Content-Length with a sign", "POST /run/echo HTTP/1.1\r\nHost: a\r\nContent-Length: +2\r\n\r\n{}"],
      ["a bare line feed in a header", "GET /run/echo HTTP/1.1\nHost: a\n\n"],
      ["something that is not HTTP", "\x16\x03\x01 hello\r\n\r\n"],
    ])("%s: 400, and the connection ends", async (_, text) => {
      expect(await statusOf(worker.port(), text)).toBe(400);
    });

    it("the absolute form of its own host is answered", async () => {
      const text = "GET http://A:1/run/echo HTTP/1.1\r\nHost: a:1\r\nConnection: close\r\n\r\n";
      expect(await statusOf(worker.port(), text)).toBe(200);
    });

    it("more header than the worker reads: 431", async () => {
      const text = `GET /run/echo HTTP/1.1\r\nHost: a\r\nX-Long: ${"x".repeat(20_000)}\r\n\r\n`;
      expect(await statusOf(worker.port(), text)).toBe(431);
    });

    it("more header fields than a call can carry: 431", async () => {
      const fields = Array.from({ length: 300 }, (_, at) => `x${at}: 1\r\n`).join("");
      const text = `GET /run/echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${fields}\r\n`;
      expect(await statusOf(worker.port(), text)).toBe(431);
    });

    it("a method that nobody knows: 400, and an expectation that nobody can meet: 417", async () => {
      expect(await statusOf(worker.port(), "post /run/echo HTTP/1.1\r\nHost: a\r\n\r\n")).toBe(400);
      const text = one("1", "Expect: wonders\r\nConnection: close\r\n");
      expect(await statusOf(worker.port(), text)).toBe(417);
    });

    it("an HTTP/1.0 client without Host is answered", async () => {
      expect(await statusOf(worker.port(), "GET /run/echo HTTP/1.0\r\n\r\n")).toBe(200);
    });

    it("requests sent in one go are answered in their order", async () => {
      const text = one("11") + one("22") + one("33", "Connection: close\r\n");
      const replies = (await rawExchange(worker.port(), [text])).toString();
      expect(replies.match(/\r\n\r\n\d\d/gu)).toEqual(["\r\n\r\n11", "\r\n\r\n22", "\r\n\r\n33"]);
    });

    it("Expect: 100-continue with too large a body is refused before the body is sent", async () => {
      const text =
        "POST /run/small HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 99999999\r\n\r\n";
      const reply = (await rawExchange(worker.port(), [text])).toString();
      expect(reply).toMatch(/^HTTP\/1\.1 413 /u);
    });
  });
};

const HEAD = "HTTP/1.1\r\nHost: a\r\n";
const CHUNKED = "Transfer-Encoding: chunked\r\n\r\n";
const old = (fields: string, body: string): string =>
  `POST /run/echo HTTP/1.0\r\n${fields}Content-Length: ${body.length}\r\n\r\n${body}`;
const post = (fields: string, body = ""): string => `POST /run/echo ${HEAD}${fields}${body}`;

/** Odd, and still as HTTP has it: what is sent on one connection, and the bodies of the replies. */
const LEGAL: readonly (readonly [title: string, text: string, ...bodies: readonly string[]])[] = [
  ["chunks with extensions", post(CHUNKED, '1;a\r\n[\r\n2;b=c;d="e"\r\n1]\r\n0;last\r\n\r\n'), "[1]"],
  ["trailers", post(`Trailer: X-Sum\r\n${CHUNKED}`, "3\r\n[1]\r\n0\r\nX-Sum: 1\r\nX-More: 2\r\n\r\n"), "[1]"],
  [
    "chunk sizes in capitals and with zeros before",
    post(CHUNKED, "000A\r\n[12345678]\r\n00\r\n\r\n"),
    "[12345678]",
  ],
  [
    "field names and codings in any case",
    `POST /run/echo HTTP/1.1\r\nhOST: a\r\nTRANSFER-encoding: CHUNKED\r\n\r\n1\r\n1\r\n0\r\n\r\n`,
    "1",
  ],
  [
    "space around values",
    `POST /run/echo HTTP/1.1\r\nHost:a\r\nX-Odd: \t1\t \r\nContent-Length:   1  \r\n\r\n1`,
    "1",
  ],
  ["an empty line before the request", `\r\n${post("Content-Length: 1\r\n\r\n", "1")}`, "1"],
  ["200 fields", post(`${"X-Field: 1\r\n".repeat(200)}Content-Length: 1\r\n\r\n`, "1"), "1"],
  ["a long field", post(`X-Long: ${"x".repeat(8_000)}\r\nContent-Length: 1\r\n\r\n`, "1"), "1"],
  ["a field of other bytes than ASCII", post("X-Name: Zo\xeb\r\nContent-Length: 1\r\n\r\n", "1"), "1"],
  ["a GET with a body", `GET /run/echo ${HEAD}Content-Length: 1\r\n\r\n1`, "1"],
  ["a POST without a body or a length", post("\r\n"), "{}"],
  ["a body of no bytes", post("Content-Length: 0\r\n\r\n"), "{}"],
  ["a body of no chunks", post(CHUNKED, "0\r\n\r\n"), "{}"],
];

/** Requests that few clients send, and that are as HTTP/1.1 has it (RFC 9112). */
export const legalCases = (worker: WorkerUnderTest): void => {
  describe("odd requests that are legal", () => {
    it.each(LEGAL)(
      "are answered, and so is what follows on the connection: %s",
      async (_title, text, ...bodies) => {
        const raw = new RawConnection(worker.port());
        await raw.write(text, one("[2]", "Connection: close\r\n"));
        for (const body of [...bodies, "[2]"]) {
          const reply = await raw.reply();
          expect([reply?.status, reply?.body.toString(), reply?.broken]).toEqual([200, body, false]);
        }
        expect(await raw.reply()).toBeUndefined();
      },
    );

    it.each(["Expect: 100-continue", "EXPECT: 100-Continue"])(
      "%s is answered before the body is sent",
      async (field) => {
        const raw = new RawConnection(worker.port());
        await raw.write(post(`${field}\r\nContent-Length: 3\r\n\r\n`));
        await raw.through("HTTP/1.1 100 Continue\r\n\r\n");
        await raw.write("[1]");
        expect((await raw.reply())?.body.toString()).toBe("[1]");
        raw.close();
      },
    );

    it("HEAD is answered with the fields of the reply and no body, in the middle of others", async () => {
      const raw = new RawConnection(worker.port());
      const head = `HEAD /run/echo ${HEAD}Content-Length: 3\r\n\r\n[7]`;
      await raw.write(
        one("1"),
        head,
        head,
        post(CHUNKED, "1\r\n2\r\n0\r\n\r\n"),
        `PUT /run/nobody ${HEAD}\r\n`,
        one("{"),
      );
      const seen: unknown[] = [];
      for (const method of ["POST", "HEAD", "HEAD", "POST", "PUT", "POST"]) {
        const reply = await raw.reply(method);
        seen.push([reply?.status, reply?.headers["content-length"], reply?.body.length]);
      }
      expect(seen.slice(0, 4)).toEqual([
        [200, "1", 1],
        [200, "3", 0],
        [200, "3", 0],
        [200, "1", 1],
      ]);
      expect(seen.slice(4)).toEqual([
        [404, expect.any(String), expect.any(Number)],
        [400, expect.any(String), expect.any(Number)],
      ]);
      raw.close();
    });

    // As Java's client does with its first request to a server.
    it("an upgrade is offered in vain", async () => {
      const raw = new RawConnection(worker.port());
      for (const more of [
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n",
        "",
      ]) {
        await raw.write(one("[1]", more));
        expect(await raw.reply()).toMatchObject({ status: 200, body: Buffer.from("[1]") });
      }
      raw.close();
    });

    it("Connection: close ends the connection after the reply, which says so", async () => {
      const raw = new RawConnection(worker.port());
      await raw.write(one("1", "Connection: keep-alive, CLOSE\r\n"), one("2"));
      expect(await raw.reply()).toMatchObject({ status: 200, headers: { connection: "close" } });
      expect(await raw.reply()).toBeUndefined();
    });

    it("an HTTP/1.0 client keeps its connection if it asks for that, and else is told its end", async () => {
      const raw = new RawConnection(worker.port());
      await raw.write(old("Connection: Keep-Alive\r\n", "[1]"));
      expect(await raw.reply()).toMatchObject({
        headers: { connection: "keep-alive", "content-length": "3" },
      });
      await raw.write(old("", "[2]"));
      const last = await raw.reply();
      expect([last?.headers["connection"], last?.body.toString()]).toEqual(["close", "[2]"]);
      expect(await raw.reply()).toBeUndefined();
    });
  });
};

/** What only several requests show. */
export const concurrencyCases = (worker: WorkerUnderTest): void => {
  describe("calls at once", () => {
    const client = agentClient();
    afterAll(() => client.close());
    const call = (path: string, body: string): Promise<TestReply> =>
      client.send(worker.port(), { method: "POST", path, body });

    it("16 to a lambda that exits are all answered with 502", async () => {
      const replies = await Promise.all(Array.from({ length: 16 }, () => call("/run/exit", "{}")));
      expect(replies.map((reply) => reply.status)).toEqual(Array(16).fill(502));
    });

    it("after a crash the next call gets a fresh sandbox", async () => {
      expect((await call("/run/moody", '"exit"')).status).toBe(502);
      expect((await call("/run/moody", "{}")).body.toString()).toBe('"fine"');
    });

    it("each get their own reply", async () => {
      const bodies = Array.from({ length: 200 }, (_, at) => `[${at}]`);
      const replies = await Promise.all(bodies.map((body) => call("/run/echo", body)));
      expect(replies.map((reply) => reply.body.toString())).toEqual(bodies);
    });

    it("have ids that differ and rise", async () => {
      const ids: string[] = [];
      for (let count = 0; count < 20; count += 1)
        ids.push((await call("/run/echo", "{}")).headers["x-ol-invocation-id"] ?? "");
      expect(ids).toEqual([...new Set(ids)].sort());
    });

    it("whose client leaves do not disturb the others", async () => {
      const raw = "POST /run/nap HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n0.2";
      for (let count = 0; count < 10; count += 1) {
        const socket = connect({ port: worker.port(), host: "127.0.0.1" });
        socket.on("error", () => undefined);
        socket.write(raw, () => socket.destroy());
      }
      expect((await call("/run/nap", "0.01")).status).toBe(200);
    });
  });
};
