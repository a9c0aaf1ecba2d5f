import { execFile } from "node:child_process";
import { Agent as HttpAgent, request as httpRequest } from "node:http";
import { connect, type Socket } from "node:net";

import { Agent as UndiciAgent, request as undiciRequest } from "undici";

/** A request as the cases name it. */
export interface TestRequest {
  readonly method: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
  /** Send the body in chunks, without a Content-Length. */
  readonly chunked?: boolean;
}

export interface TestReply {
  readonly status: number;
  /** Lower-case names; repeated ones joined by ", ". */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

/** One way of speaking HTTP to a worker. */
export interface Client {
  readonly name: string;
  /** It tidies `..` out of a path before it sends it. */
  readonly normalizes?: boolean;
  send(port: number, request: TestRequest): Promise<TestReply>;
  close(): Promise<void>;
}

const HOST = "127.0.0.1";
const REPLY_MS = 60_000;

const flat = (headers: NodeJS.Dict<string | string[]>): Record<string, string> =>
  Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, [value].flat().join(", ")]));

/** Pieces of a body, so that it really goes out in several chunks. */
const pieces = (body: string | Buffer): Buffer[] => {
  const all = Buffer.from(body);
  const size = Math.max(1, Math.min(65_536, Math.ceil(all.length / 2)));
  return Array.from({ length: Math.ceil(all.length / size) }, (_, at) =>
    all.subarray(at * size, (at + 1) * size),
  );
};

/** Splits a raw reply; throws if it is not one whole reply and nothing more. */
export const parseReply = (data: Buffer, method = "GET"): TestReply => {
  const headEnd = data.indexOf("\r\n\r\n");
  if (headEnd < 0) throw new Error(`no whole header: ${JSON.stringify(data.toString("latin1"))}`);
  const [line = "", ...fields] = data.toString("latin1", 0, headEnd).split("\r\n");
  const headers: Record<string, string> = {};
  for (const field of fields) {
    const at = field.indexOf(":");
    headers[field.slice(0, at).toLowerCase()] = field.slice(at + 1).trim();
  }
  const rest = data.subarray(headEnd + 4);
  const body = headers["transfer-encoding"] === "chunked" ? unchunked(rest) : rest;
  const length = headers["content-length"];
  if (length !== undefined && method !== "HEAD" && Number(length) !== body.length)
    throw new Error(`content-length ${length}, but ${body.length} bytes`);
  return { status: Number(line.split(" ")[1]), headers, body };
};

const unchunked = (data: Buffer): Buffer => {
  const parts: Buffer[] = [];
  let at = 0;
  for (;;) {
    const lineEnd = data.indexOf("\r\n", at);
    const size = Number.parseInt(data.toString("latin1", at, lineEnd), 16);
    if (lineEnd < 0 || Number.isNaN(size)) throw new Error("a chunk is missing");
    if (size === 0) return Buffer.concat(parts);
    parts.push(data.subarray(lineEnd + 2, lineEnd + 2 + size));
    at = lineEnd + 2 + size + 2;
  }
};

/** Sends bytes and collects what comes until the server closes. */
export const rawExchange = (port: number, parts: readonly (string | Buffer)[]): Promise<Buffer> =>
  new Promise((resolve, reject) => {
    const received: Buffer[] = [];
    const socket: Socket = connect({ port, host: HOST });
    const timer = setTimeout(() => socket.destroy(new Error("no end of the reply")), REPLY_MS);
    socket.on("data", (data: Buffer) => received.push(data));
    socket.on("close", () => {
      clearTimeout(timer);
      resolve(Buffer.concat(received));
    });
    // The server may end the connection while we still send: what came before is what counts.
    socket.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code !== "EPIPE" && error.code !== "ECONNRESET") reject(error);
    });
    socket.on("connect", () => {
      for (const part of parts) socket.write(part);
    });
  });

const rawParts = ({ method, path, headers = {}, body, chunked }: TestRequest): (string | Buffer)[] => {
  const lines = [`${method} ${path} HTTP/1.1`, "Host: localhost", "Connection: close"];
  for (const [name, value] of Object.entries(headers)) lines.push(`${name}: ${value}`);
  if (body === undefined) return [`${lines.join("\r\n")}\r\n\r\n`];
  if (chunked !== true) {
    lines.push(`Content-Length: ${Buffer.byteLength(body)}`);
    return [`${lines.join("\r\n")}\r\n\r\n`, body];
  }
  lines.push("Transfer-Encoding: chunked");
  const chunks = pieces(body).flatMap((piece) => [`${piece.length.toString(16)}\r\n`, piece, "\r\n"]);
  return [`${lines.join("\r\n")}\r\n\r\n`, ...chunks, "0\r\n\r\n"];
};

/** A socket and hand-made HTTP, one connection a request. */
export const rawClient = (): Client => ({
  name: "raw socket",
  send: async (port, request) => parseReply(await rawExchange(port, rawParts(request)), request.method),
  close: () => Promise.resolve(),
});

/** node:http with connections kept alive and used again. */
export const agentClient = (): Client => {
  const agent = new HttpAgent({ keepAlive: true, maxSockets: 32 });
  return {
    name: "http.Agent",
    send: (port, { method, path, headers = {}, body, chunked }) =>
      new Promise((resolve, reject) => {
        const length = body === undefined || chunked ? {} : { "content-length": Buffer.byteLength(body) };
        const options = { agent, host: HOST, port, method, path, headers: { ...headers, ...length } };
        const request = httpRequest(options, (response) => {
          const parts: Buffer[] = [];
          response.on("data", (data: Buffer) => parts.push(data));
          response.on("error", reject);
          response.on("end", () =>
            resolve({
              status: response.statusCode ?? 0,
              headers: flat(response.headers),
              body: Buffer.concat(parts),
            }),
          );
        });
        request.setTimeout(REPLY_MS, () => request.destroy(new Error("no reply")));
        request.on("error", reject);
        for (const piece of body === undefined ? [] : pieces(body)) request.write(piece);
        request.end();
      }),
    close: () => Promise.resolve(agent.destroy()),
  };
};

/** undici, with connections kept alive. */
export const undiciClient = (): Client => {
  const dispatcher = new UndiciAgent({ connections: 32, headersTimeout: REPLY_MS, bodyTimeout: REPLY_MS });
  return {
    name: "undici",
    normalizes: true,
    send: async (port, { method, path, headers = {}, body, chunked }) => {
      const sent = body === undefined ? null : chunked ? pieces(body).values() : body;
      const {
        statusCode,
        headers: replied,
        body: stream,
      } = await undiciRequest(`http://${HOST}:${port}${path}`, {
        dispatcher,
        method: method as "GET",
        headers: { ...headers },
        body: sent as never,
      });
      const replyBody = Buffer.from(await stream.arrayBuffer());
      return { status: statusCode, headers: flat(replied), body: replyBody };
    },
    close: () => dispatcher.close(),
  };
};

/** curl, as a process of its own. */
export const curlClient = (): Client => ({
  name: "curl",
  send: (port, { method, path, headers = {}, body, chunked }) =>
    new Promise((resolve, reject) => {
      const names = Object.entries(headers).flatMap(([name, value]) => ["-H", `${name}: ${value}`]);
      const args = ["-sS", "-i", "--path-as-is", "--http1.1", "--max-time", "20", ...names];
      args.push(...(method === "HEAD" ? ["--head"] : ["-X", method]));
      if (chunked) args.push("-H", "Transfer-Encoding: chunked");
      if (body !== undefined) args.push("--data-binary", "@-");
      args.push(`http://${HOST}:${port}${path}`);
      const child = execFile("curl", args, { encoding: "buffer", maxBuffer: 64 << 20 }, (error, stdout) => {
        // 18, 55, 56: the server ended the connection while curl still sent; the reply is there.
        if (error !== null && stdout.length === 0) reject(error);
        else resolve(parseReply(afterContinue(stdout), method));
      });
      child.stdin?.on("error", () => undefined);
      child.stdin?.end(body);
    }),
  close: () => Promise.resolve(),
});

/** curl -i has decoded the chunks but still shows the field; and shows `100 Continue` too. */
const afterContinue = (data: Buffer): Buffer => {
  let rest = data;
  while (rest.toString("latin1", 0, 12) === "HTTP/1.1 100")
    rest = rest.subarray(rest.indexOf("\r\n\r\n") + 4);
  const headEnd = rest.indexOf("\r\n\r\n");
  const head = rest.toString("latin1", 0, headEnd).replace(/\r\ntransfer-encoding: chunked/iu, "");
  return Buffer.concat([Buffer.from(head, "latin1"), rest.subarray(headEnd)]);
};
