import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";

import { type Distribution, sha256 } from "./wheel.ts";

/**
 * What is wrong with an index: `reset` ends connections; `cut` ends them in the middle of a file; `error` answers 500;
 * `hold` answers a file only once that is over; `swap` gives another file than the page names.
 */
export type IndexTrouble = "reset" | "cut" | "error" | "hold" | "swap";

/** A package index on this machine as pip and uv know it (PEP 503 with hashes, PEP 658), which can have trouble. */
export class PackageIndex implements AsyncDisposable {
  readonly port: number;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #projects = new Map<string, Distribution[]>();
  readonly #downloads = new Map<string, number>();
  readonly #held: (() => void)[] = [];
  readonly #awaited: { readonly count: number; readonly resolve: () => void }[] = [];
  readonly #credentials: string | undefined;
  #trouble: IndexTrouble | undefined;
  #pages = 0;

  /** With `credentials`, `USER:PASSWORD` as in a URL, it answers nobody who has not got them. */
  static async start(
    distributions: readonly Distribution[] = [],
    credentials?: string,
    port = 0,
  ): Promise<PackageIndex> {
    const server = createServer();
    server.listen(port, "127.0.0.1");
    await once(server, "listening");
    const index = new PackageIndex(server, credentials);
    index.add(...distributions);
    return index;
  }

  private constructor(server: Server, credentials: string | undefined) {
    this.port = (server.address() as AddressInfo).port;
    this.#server = server;
    this.#credentials = credentials;
    server.on("connection", (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket));
    });
    server.on("request", (request: IncomingMessage, response: ServerResponse) =>
      this.#answer(request, response),
    );
  }

  /** What `pip_mirror` is to be. */
  get url(): string {
    return `http://127.0.0.1:${this.port}/simple/`;
  }

  /** The same with user and password in it. */
  urlWith(credentials: string): string {
    return `http://${credentials}@127.0.0.1:${this.port}/simple/`;
  }

  /** How often a project's page was asked for, all projects together. */
  get pages(): number {
    return this.#pages;
  }

  add(...distributions: readonly Distribution[]): void {
    for (const one of distributions)
      this.#projects.set(one.project, [...(this.#projects.get(one.project) ?? []), one]);
  }

  /** How often files of a project were asked for in full. */
  downloadsOf(project: string): number {
    return this.#downloads.get(project) ?? 0;
  }

  set trouble(trouble: IndexTrouble | undefined) {
    this.#trouble = trouble;
    if (trouble !== "hold") for (const go of this.#held.splice(0)) go();
  }

  /** Settles when so many answers are held. */
  async holds(count: number): Promise<void> {
    if (this.#held.length < count)
      await new Promise<void>((resolve) => this.#awaited.push({ count, resolve }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    if (this.#server.listening) await new Promise((resolve) => this.#server.close(resolve));
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    if (this.#trouble === "reset") return void request.socket.resetAndDestroy();
    if (this.#trouble === "error") return this.#send(response, 500, "text/plain", "broken");
    const basic = Buffer.from(decodeURIComponent(this.#credentials ?? "")).toString("base64");
    if (this.#credentials !== undefined && request.headers.authorization !== `Basic ${basic}`) {
      response.setHeader("WWW-Authenticate", 'Basic realm="packages"');
      return this.#send(response, 401, "text/plain", "who are you?");
    }
    const { pathname } = new URL(request.url ?? "/", this.url);
    const [, where = "", project = "", file = ""] = pathname.split("/");
    const distributions = this.#projects.get(project) ?? [];
    if (where === "simple") return this.#page(response, distributions);
    const found = distributions.find((one) => one.file === file || `${one.file}.metadata` === file);
    if (where !== "files" || found === undefined) return this.#send(response, 404, "text/plain", "no");
    if (found.file === file) return this.#file(request, response, found);
    this.#send(response, 200, "text/plain", found.metadata ?? "");
  }

  #page(response: ServerResponse, distributions: readonly Distribution[]): void {
    this.#pages += 1;
    if (distributions.length === 0) return this.#send(response, 404, "text/plain", "no such project");
    const links = distributions.map(({ project, file, sha256: digest, metadata, python }) => {
      const metadataDigest = metadata === undefined ? "" : ` data-core-metadata="sha256=${sha256(metadata)}"`;
      const requires =
        python === undefined
          ? ""
          : ` data-requires-python="${python.replaceAll("<", "&lt;").replaceAll(">", "&gt;")}"`;
      return `<a href="/files/${project}/${file}#sha256=${digest}"${metadataDigest}${requires}>${file}</a><br>`;
    });
    this.#send(response, 200, "text/html", `<!DOCTYPE html><html><body>${links.join("\n")}</body></html>`);
  }

  #file(request: IncomingMessage, response: ServerResponse, { project, data }: Distribution): void {
    this.#downloads.set(project, this.downloadsOf(project) + 1);
    const send = (): void => {
      const sent = this.#trouble === "swap" ? commented(data) : data;
      this.#send(response, 200, "application/octet-stream", sent);
    };
    if (this.#trouble === "cut") {
      response.writeHead(200, { "content-length": data.length });
      response.write(data.subarray(0, data.length / 2), () => request.socket.resetAndDestroy());
    } else if (this.#trouble === "hold") {
      this.#held.push(send);
      for (const { count, resolve } of this.#awaited) if (this.#held.length >= count) resolve();
    } else send();
  }

  #send(response: ServerResponse, status: number, type: string, body: string | Buffer): void {
    // Whoever asked may be gone by now.
    response.on("error", () => undefined);
    response.writeHead(status, { "content-type": type, "content-length": Buffer.byteLength(body) }).end(body);
  }
}

/** Another archive with the same files: it ends in a comment of one byte. */
const commented = (archive: Buffer): Buffer => {
  const other = Buffer.concat([archive, Buffer.from("!")]);
  other.writeUInt16LE(1, archive.length - 2);
  return other;
};
