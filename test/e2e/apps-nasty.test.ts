import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { RawConnection } from "../../packages/worker/test/http/raw-connection.ts";
import { AppWorker, KINDS } from "./support/app-worker.ts";
import { NASTY_REPLIES, type NastyReply, type Wish } from "./support/nasty-replies.ts";
import { ONE_CONNECTION, type Seen } from "../../packages/worker/test/http/one-connection.ts";

/** How often each is tried: what is left on a connection is not taken for the next reply every time. */
const ROUNDS = 3;

let worker: AppWorker;

beforeAll(async () => {
  worker = await AppWorker.start();
  for (const kind of KINDS) await worker.add(`${kind}-nasty`, kind, "concurrency: 8\n");
});
afterAll(() => worker.close());

const said = (kind: string, wish: Wish): string =>
  `/run/${kind}-nasty/say?${encodeURIComponent(JSON.stringify(wish))}`;

const matches = (seen: string | undefined, wanted: string | RegExp | undefined): boolean =>
  seen === undefined || wanted === undefined || typeof wanted === "string"
    ? seen === wanted
    : wanted.test(seen);

/** What of a reply is not as it should be. */
const wrongWith = (seen: Seen, { status, text = /(?:)/u, headers = {} }: NastyReply): unknown[] => {
  const wrong: unknown[] = [];
  if (seen.status !== status) wrong.push(seen);
  if (!matches(seen.text, text)) wrong.push(seen.text);
  const ours = status === 0 ? {} : { "x-ol-not-started": undefined };
  for (const [name, value] of Object.entries({ ...ours, ...headers }))
    if (!matches(seen.headers[name]?.toString(), value)) wrong.push({ [name]: seen.headers[name] });
  return wrong;
};

/** A request of an ASGI app that goes on while another one fails; of a WSGI app there is none. */
class Beside {
  readonly #raw: RawConnection;

  constructor(port: number) {
    this.#raw = new RawConnection(port);
  }

  async begin(kind: string): Promise<void> {
    const head = `POST /run/${kind}-nasty/lines HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n`;
    await this.#raw.write(head, "4\r\none\n\r\n");
    await this.#raw.through("data: one\n\n");
  }

  /** Throws if it was touched. */
  async end(): Promise<void> {
    await this.#raw.write("4\r\ntwo\n\r\n0\r\n\r\n");
    await this.#raw.through("data: two\n\n");
    await this.#raw.through("\r\n0\r\n\r\n");
    this.#raw.close();
  }
}

describe.each(KINDS)("an app (%s) that replies with", (kind) => {
  it.each(NASTY_REPLIES.map((reply) => [reply.what, reply] as const))(
    "%s is answered so once, and the next request on the connection as it should be",
    async (_what, nasty) => {
      for (const [name, open] of Object.entries(ONE_CONNECTION)) {
        const connection = open(worker.port);
        for (let round = 0; round < ROUNDS; round += 1) {
          const seen = await connection.send(nasty.method ?? "GET", said(kind, nasty.wish));
          expect(wrongWith(seen, nasty)).toEqual([]);
          const body = `${name} ${round}`;
          const next = await connection.send("POST", `/run/${kind}-nasty/echo`, body);
          expect([next.status, next.text]).toEqual([207, body]);
        }
        await connection.close();
      }
    },
  );

  it.each(NASTY_REPLIES.map((reply) => [reply.what, reply] as const))(
    "%s does not touch the request behind it on the connection, nor one beside it in the sandbox",
    async (_what, nasty) => {
      // A WSGI app has none, and one that ends its sandbox ends all that is in it.
      const alone = kind === "wsgi" || nasty.ends === true;
      const beside = new Beside(worker.port);
      if (!alone) await beside.begin(kind);
      const raw = new RawConnection(worker.port);
      const method = nasty.method ?? "GET";
      await raw.write(
        `${method} ${said(kind, nasty.wish)} HTTP/1.1\r\nHost: a\r\n\r\n` +
          `POST /run/${kind}-nasty/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nbehind`,
      );
      const reply = await raw.reply(method);
      expect(reply?.broken === false ? reply.status : 0).toBe(nasty.status);
      const behind = await raw.reply("POST");
      raw.close();
      if (!alone) await beside.end();
      const own = [207, "behind"];
      const outcomes =
        // Nothing can follow a reply that was broken off.
        nasty.status === 0
          ? [[undefined, undefined]]
          : // It may have been in the sandbox that ended.
            kind === "asgi" && nasty.ends === true
            ? [own, [502, reply?.body.toString()]]
            : [own];
      expect(outcomes).toContainEqual([behind?.status, behind?.body.toString()]);
    },
  );
});
