import { Agent as HttpAgent, request as httpRequest } from "node:http";

import { Agent as UndiciAgent, request as undiciRequest } from "undici";

import { RawConnection } from "./raw-connection.ts";

/** What a client saw of one reply. */
export interface Seen {
  /** 0: the connection ended, before the reply or in it. */
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly text: string;
}

/** A client that uses one connection as long as it is let, so that what is left on it of one reply would be taken for the next. */
export interface OneConnection {
  send(method: string, path: string, body?: string): Promise<Seen>;
  close(): Promise<void>;
}

const WAIT_MS = 20_000;
const BROKEN: Seen = { status: 0, headers: {}, text: "" };

/** Only errors of the connection: a reply that the client's parser refuses is what is looked for. */
const brokenBy = (error: unknown): Seen => {
  const code = String((error as { code?: unknown }).code);
  if (/^(ECONNRESET|EPIPE|UND_ERR_SOCKET)$/u.test(code)) return BROKEN;
  throw error;
};

const rawOne = (port: number): OneConnection => {
  let raw = new RawConnection(port);
  return {
    send: async (method, path, body = "") => {
      if (raw.closed) raw = new RawConnection(port);
      const length = method === "POST" ? [`Content-Length: ${body.length}`] : [];
      await raw.write([`${method} ${path} HTTP/1.1`, "Host: a", ...length, "", body].join("\r\n"));
      const reply = await raw.reply(method);
      if (reply === undefined || reply.broken) return BROKEN;
      return { status: reply.status, headers: reply.headers, text: reply.body.toString("latin1") };
    },
    close: () => Promise.resolve(raw.close()),
  };
};

const agentOne = (port: number): OneConnection => {
  const agent = new HttpAgent({ keepAlive: true, maxSockets: 1 });
  const send = (method: string, path: string, body = ""): Promise<Seen> =>
    new Promise<Seen>((resolve, reject) => {
      const options = { agent, host: "127.0.0.1", port, method, path, timeout: WAIT_MS };
      const request = httpRequest(options, (response) => {
        const parts: Buffer[] = [];
        response.on("data", (data: Buffer) => parts.push(data));
        response.on("error", reject);
        response.on("end", () => {
          const text = Buffer.concat(parts).toString("latin1");
          resolve({ status: response.statusCode ?? 0, headers: response.headers, text });
        });
      });
      request.on("timeout", () => request.destroy(new Error("no reply")));
      request.on("error", reject);
      request.end(body);
    }).catch(brokenBy);
  return { send, close: () => Promise.resolve(agent.destroy()) };
};

const undiciOne = (port: number): OneConnection => {
  const dispatcher = new UndiciAgent({ connections: 1, headersTimeout: WAIT_MS, bodyTimeout: WAIT_MS });
  const send = async (method: string, path: string, body = ""): Promise<Seen> => {
    try {
      const reply = await undiciRequest(`http://127.0.0.1:${port}${path}`, {
        dispatcher,
        method: method as "GET",
        body: method === "POST" ? body : null,
      });
      const text = Buffer.from(await reply.body.arrayBuffer()).toString("latin1");
      return { status: reply.statusCode, headers: reply.headers, text };
    } catch (error) {
      return brokenBy(error);
    }
  };
  return { send, close: () => dispatcher.close() };
};

/** By name. */
export const ONE_CONNECTION: Readonly<Record<string, (port: number) => OneConnection>> = {
  "a raw socket": rawOne,
  "http.Agent": agentOne,
  undici: undiciOne,
};
