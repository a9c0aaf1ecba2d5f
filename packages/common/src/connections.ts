import { Server, type Socket } from "node:net";

/** As many connections as the kernel holds for us by default. */
const MOST_LOOKS = 511;

/** Longer than the 60 s after which common proxies drop idle connections: the client's side should be first. */
export const KEEP_ALIVE_MS = 75_000;
/** How long clients may take to read the last of their replies. */
const FLUSH_MS = 2_000;
/** How long the clients of idle connections may take to see that they are closed. */
const GOODBYE_MS = 1_000;

/** A whole reply, as bytes: nothing of whatever request it is taken for was run. */
const farewellOf = (line: string): string => {
  const body = `${line}\n`;
  return [
    "HTTP/1.1 503 Service Unavailable",
    "Content-Type: text/plain; charset=utf-8",
    `Content-Length: ${body.length}`,
    "Retry-After: 1",
    "X-OL-Not-Started: 1",
    "Connection: close",
    "",
    body,
  ].join("\r\n");
};

/** The connections of a server, so that each can be ended without a request getting lost in it. */
export class Connections {
  readonly #open = new Set<Socket>();
  /** Those that were told to go; what comes on them was answered by that. */
  readonly #leaving = new Set<Socket>();
  /** How many there ever were. */
  #accepted = 0;
  #empty: (() => void) | undefined;
  readonly #farewell: string;

  /** `farewell` is one line of ASCII: why the server takes no request any more. */
  constructor(farewell: string) {
    this.#farewell = farewellOf(farewell);
  }

  /** Hears of every connection of the server from now on. `event` is `secureConnection` of a server for TLS. */
  watch(server: Server, event: "connection" | "secureConnection" = "connection"): void {
    server.on(event, (socket: Socket) => {
      this.#accepted += 1;
      this.#open.add(socket);
      socket.once("close", () => this.#closed(socket));
    });
  }

  /**
   * Says on every connection that the server takes no request any more, and listens no more. `busy` are those on which a reply
   * is on its way: they end with it, or after 2 s. No request is lost but what the kernel accepts in the very moment of
   * closing.
   */
  async leave(servers: readonly Server[], busy: () => ReadonlySet<Socket>): Promise<void> {
    // Listening: whoever comes back from here at once is answered, too.
    this.#sayGoodbye(busy());
    await this.#gone(GOODBYE_MS, "leaving");
    await this.#allAccepted();
    // Not node:http's own way: that cuts off replies which are still on their way out.
    for (const server of servers) Server.prototype.close.call(server);
    this.#sayGoodbye(busy());
    await this.#gone(FLUSH_MS, "all");
  }

  /**
   * Settles in a moment in which the kernel holds no connection that is not ours yet, or after some hundred looks. Node
   * takes one a round of its loop.
   */
  async #allAccepted(): Promise<void> {
    for (let round = 0; round < MOST_LOOKS; round += 1) {
      const before = this.#accepted;
      await new Promise(setImmediate);
      if (this.#accepted === before) return;
    }
  }

  /** Whether it was told to go: a request on it is not to be looked at. */
  isLeaving(socket: Socket): boolean {
    return this.#leaving.size > 0 && this.#leaving.has(socket);
  }

  /**
   * Ends those that are not `busy`. On each stands a 503 that says "not started", in answer to the request that the client
   * may be sending at this very moment: no other end of an idle connection tells whether that was run. Servers end
   * idle connections by an unasked 408 in the same way (RFC 9110, 15.5.9). Reading goes on until the client closes, since
   * closing with unread data would reset the connection, and take the 503 back.
   */
  #sayGoodbye(busy: ReadonlySet<Socket>): void {
    for (const socket of this.#open) {
      if (busy.has(socket) || this.#leaving.has(socket) || socket.writableEnded) continue;
      this.#leaving.add(socket);
      socket.end(this.#farewell, "latin1");
    }
  }

  /**
   * Settles when those that were told to go, or (`all`) every one, are gone, or after `boundMs`; then those are cut off. Of
   * those that were told to go the ones stay whose clients have not been sent everything yet.
   */
  async #gone(boundMs: number, which: "leaving" | "all"): Promise<void> {
    const list = which === "all" ? this.#open : this.#leaving;
    let timer: NodeJS.Timeout | undefined;
    const bound = new Promise<void>((resolve) => (timer = setTimeout(resolve, boundMs)));
    const empty = new Promise<void>((resolve) => {
      this.#empty = () => {
        if (list.size === 0) resolve();
      };
      this.#empty();
    });
    await Promise.race([empty, bound]);
    clearTimeout(timer);
    this.#empty = undefined;
    for (const socket of list) if (which === "all" || socket.writableFinished) socket.destroy();
  }

  #closed(socket: Socket): void {
    this.#open.delete(socket);
    this.#leaving.delete(socket);
    this.#empty?.();
  }
}
