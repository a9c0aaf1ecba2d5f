import { connect, type Socket } from "node:net";

/** How long something may take to come, on a busy machine. */
const WAIT_MS = 20_000;

/** A reply as a raw socket saw it. */
export interface RawReply {
  readonly status: number;
  /** Name, value; in their order and spelling. */
  readonly fields: readonly (readonly [string, string])[];
  readonly body: string;
}

/** A connection on which bytes are written by hand. */
export class RawClient implements Disposable {
  /** Everything that came, not yet taken by `reply`; latin1. */
  text = "";
  closed = false;
  readonly #socket: Socket;
  #wake: () => void = () => undefined;
  /** What is called if it ends before something is written. */
  readonly #closing = new Set<() => void>();

  /** To a port of this machine, or to a socket in the file system. */
  constructor(where: number | string) {
    const to = typeof where === "number" ? { port: where, host: "127.0.0.1" } : { path: where };
    this.#socket = connect({ ...to, allowHalfOpen: true });
    this.#socket.on("data", (data: Buffer) => {
      this.text += data.toString("latin1");
      this.#wake();
    });
    const over = (): void => {
      this.closed = true;
      this.#wake();
    };
    // That it ended is what counts: a server that closes while we write resets it.
    this.#socket.on("error", over);
    this.#socket.on("end", over);
    this.#socket.on("close", () => {
      over();
      for (const settled of this.#closing) settled();
    });
  }

  /** Settles when it is written, or never will be. */
  send(text: string | Buffer): Promise<void> {
    return new Promise((resolve) => {
      if (this.#socket.destroyed) return resolve();
      const settled = (): void => resolve();
      this.#closing.add(settled);
      this.#socket.write(typeof text === "string" ? Buffer.from(text, "latin1") : text, () => {
        this.#closing.delete(settled);
        settled();
      });
    });
  }

  /** Reads nothing more. */
  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  /** Closes it, by a reset if anything is unread. */
  leave(): void {
    this.#socket.destroy();
  }

  [Symbol.dispose](): void {
    this.leave();
  }

  /** Waits until `ready` holds; false if the connection ends before. Throws after 20 s. */
  async until(ready: () => boolean): Promise<boolean> {
    const deadline = Date.now() + WAIT_MS;
    while (!ready()) {
      if (this.closed) return false;
      const left = deadline - Date.now();
      if (left <= 0) throw new Error(`nothing came; so far: ${JSON.stringify(this.text.slice(-500))}`);
      let timer: NodeJS.Timeout | undefined;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        timer = setTimeout(resolve, left);
      });
      clearTimeout(timer);
    }
    return true;
  }

  /** Waits until the server has closed it; everything that came and was not taken. */
  async toEnd(): Promise<string> {
    await this.until(() => this.closed);
    return this.text;
  }

  /** The next reply that is not interim; "cut" if the connection ended before it was complete. */
  async reply(method = "GET"): Promise<RawReply | "cut"> {
    for (;;) {
      const head = await this.head();
      if (head === "cut") return head;
      if (head.status < 200) continue;
      const body = await this.#body(head, method);
      return body === undefined ? "cut" : { ...head, body };
    }
  }

  /** The next head, interim ones too. */
  async head(): Promise<Omit<RawReply, "body"> | "cut"> {
    if (!(await this.until(() => this.text.includes("\r\n\r\n")))) return "cut";
    const end = this.text.indexOf("\r\n\r\n");
    const [line = "", ...lines] = this.text.slice(0, end).split("\r\n");
    this.text = this.text.slice(end + 4);
    const status = Number(/^HTTP\/1\.[01] (\d{3}) /u.exec(line)?.[1]);
    if (Number.isNaN(status)) throw new Error(`no head: ${JSON.stringify(line)}`);
    const fields = lines.map((field) => {
      const at = field.indexOf(":");
      return [field.slice(0, at), field.slice(at + 1).trim()] as const;
    });
    return { status, fields };
  }

  async #body(head: Omit<RawReply, "body">, method: string): Promise<string | undefined> {
    if (method === "HEAD" || head.status === 204 || head.status === 304) return "";
    if (valueOf(head, "transfer-encoding") === "chunked") return this.#chunks();
    const length = valueOf(head, "content-length");
    if (length === undefined) {
      await this.toEnd();
      return this.#take(this.text.length);
    }
    const bytes = Number(length);
    return (await this.until(() => this.text.length >= bytes)) ? this.#take(bytes) : undefined;
  }

  async #chunks(): Promise<string | undefined> {
    let body = "";
    for (;;) {
      if (!(await this.until(() => this.text.includes("\r\n")))) return undefined;
      const line = this.text.slice(0, this.text.indexOf("\r\n"));
      const size = Number.parseInt(line, 16);
      if (!/^[0-9a-fA-F]+$/u.test(line)) throw new Error(`no chunk: ${JSON.stringify(line)}`);
      const whole = line.length + 2 + size + 2;
      if (!(await this.until(() => this.text.length >= whole))) return undefined;
      body += this.#take(whole).slice(line.length + 2, -2);
      if (size === 0) return body;
    }
  }

  #take(length: number): string {
    const taken = this.text.slice(0, length);
    this.text = this.text.slice(length);
    return taken;
  }
}

/** The value of a field, all of them joined; undefined if there is none. `name` is in lower case. */
export const valueOf = ({ fields }: Pick<RawReply, "fields">, name: string): string | undefined => {
  const values = fields.filter(([field]) => field.toLowerCase() === name).map(([, value]) => value);
  return values.length === 0 ? undefined : values.join(", ");
};
