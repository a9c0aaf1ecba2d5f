import { createServer, type AddressInfo, type Server, type Socket } from "node:net";

/** A request as the worker's side of the connection saw it, byte for byte. */
export interface SeenRequest {
  readonly line: string;
  /** Name, value; in their order and spelling. */
  readonly fields: readonly (readonly [string, string])[];
  readonly body: string;
  /** How many connections there had been when it came. */
  readonly connection: number;
}

/** What the worker does on one connection. */
export interface Script {
  /** A request is there; by default as a whole, or with `early` as soon as its head is. */
  request?(seen: SeenRequest, connection: Connection): void;
  /** `request` is called with the head alone; the body is collected, but nobody is told. */
  readonly early?: boolean;
  /** Nothing is read after the head: the connection fills up. */
  readonly deaf?: boolean;
}

/** The worker's side of one connection. */
export interface Connection {
  readonly socket: Socket;
  /** Writes bytes, latin1. */
  write(text: string): void;
  /** Ends it as if the process had died: by a reset. */
  reset(): void;
  end(): void;
}

/** A reply with a Content-Length. */
export const plainReply = (body: string, fields: readonly string[] = [], status = "200 OK"): string =>
  [`HTTP/1.1 ${status}`, ...fields, `Content-Length: ${body.length}`, "", body].join("\r\n");

/**
 * A worker of bytes: reads requests as strictly as it can (a proxy in front is what is looked at), records them, and does what
 * its script says; without one it answers `ok`.
 */
export class ScriptedWorker implements AsyncDisposable {
  readonly seen: SeenRequest[] = [];
  /** Everything that came on all connections, latin1. */
  raw = "";
  /** Connections that there were. */
  connections = 0;
  /** Those of them that the other side has ended. undici makes a new one for one that it ended in a call. */
  ended = 0;
  script: Script;
  readonly sockets: Set<Socket> = new Set();
  readonly #server: Server;
  #wake: (() => void)[] = [];

  static async start(script: Script = {}): Promise<ScriptedWorker> {
    const worker = new ScriptedWorker(script);
    await new Promise<void>((resolve) => worker.#server.listen(0, "127.0.0.1", resolve));
    return worker;
  }

  private constructor(script: Script) {
    this.script = script;
    this.#server = createServer({ allowHalfOpen: true }, (socket) => this.#connected(socket));
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Settles when that holds; it is looked at with each thing that happens. Throws after 20 s. */
  async until(ready: () => boolean): Promise<void> {
    const deadline = Date.now() + 20_000;
    while (!ready()) {
      const left = deadline - Date.now();
      if (left <= 0) throw new Error(`it did not happen; seen: ${JSON.stringify(this.seen)}`);
      let timer: NodeJS.Timeout | undefined;
      await new Promise<void>((resolve) => {
        this.#wake.push(resolve);
        timer = setTimeout(resolve, left);
      });
      clearTimeout(timer);
    }
  }

  /** Takes no new connections, and resets those there are. */
  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const socket of this.sockets) socket.destroy();
    await closed;
  }

  #happened(): void {
    const wake = this.#wake;
    this.#wake = [];
    for (const call of wake) call();
  }

  #connected(socket: Socket): void {
    this.connections += 1;
    const number = this.connections;
    this.sockets.add(socket);
    let data = "";
    const connection: Connection = {
      socket,
      write: (text) => void socket.write(text, "latin1"),
      reset: () => void socket.resetAndDestroy(),
      end: () => void socket.end(),
    };
    let headSeen = false;
    socket.on("data", (bytes: Buffer) => {
      data += bytes.toString("latin1");
      this.raw += bytes.toString("latin1");
      for (;;) {
        const read = readRequest(data, number);
        if (read === undefined) break;
        if (this.script.early === true && !headSeen) {
          headSeen = true;
          this.#request(read.request, connection);
        }
        if (this.script.deaf === true) socket.pause();
        if (read.rest === undefined) break;
        data = read.rest;
        if (this.script.early !== true) this.#request(read.request, connection);
        headSeen = false;
      }
      this.#happened();
    });
    socket.on("end", () => {
      socket.end();
      this.#happened();
    });
    socket.on("error", () => undefined);
    socket.on("close", () => {
      this.ended += 1;
      this.sockets.delete(socket);
      this.#happened();
    });
    this.#happened();
  }

  #request(request: SeenRequest, connection: Connection): void {
    this.seen.push(request);
    if (this.script.request === undefined) connection.write(plainReply("ok"));
    else this.script.request(request, connection);
  }
}

/** The first request of the data, undefined before its head is there; `rest` is what follows, undefined if it is not complete. */
const readRequest = (
  data: string,
  connection: number,
): { request: SeenRequest; rest: string | undefined } | undefined => {
  const headEnd = data.indexOf("\r\n\r\n");
  if (headEnd < 0) return undefined;
  const [line = "", ...lines] = data.slice(0, headEnd).split("\r\n");
  const fields = lines.map((field) => {
    const at = field.indexOf(":");
    return [field.slice(0, at), field.slice(at + 1).trim()] as const;
  });
  const value = (name: string): string | undefined =>
    fields.find(([field]) => field.toLowerCase() === name)?.[1];
  const after = data.slice(headEnd + 4);
  if (value("transfer-encoding") !== undefined) {
    const { body, rest } = readChunks(after);
    return { request: { line, fields, body, connection }, rest };
  }
  const length = Number(value("content-length") ?? 0);
  const rest = after.length < length ? undefined : after.slice(length);
  return { request: { line, fields, body: after.slice(0, length), connection }, rest };
};

const readChunks = (data: string): { body: string; rest: string | undefined } => {
  let body = "";
  let at = 0;
  for (;;) {
    const lineEnd = data.indexOf("\r\n", at);
    if (lineEnd < 0) return { body, rest: undefined };
    const size = Number.parseInt(data.slice(at, lineEnd), 16);
    if (size === 0) {
      // Behind it are trailers, or nothing.
      const trailersEnd = data.indexOf("\r\n\r\n", lineEnd);
      return { body, rest: trailersEnd < 0 ? undefined : data.slice(trailersEnd + 4) };
    }
    const end = lineEnd + 2 + size + 2;
    if (data.length < end) return { body, rest: undefined };
    body += data.slice(lineEnd + 2, end - 2);
    at = end;
  }
};

/** The value of a field of a request, all of them joined. `name` is in lower case. */
export const fieldOf = ({ fields }: Pick<SeenRequest, "fields">, name: string): string | undefined => {
  const values = fields.filter(([field]) => field.toLowerCase() === name).map(([, value]) => value);
  return values.length === 0 ? undefined : values.join(", ");
};
