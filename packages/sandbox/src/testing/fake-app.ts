import type { FakeReply, FakeRequest } from "./fake-call.ts";
import type { FakeApp, FakeContext } from "./fake-guest.ts";

const PIECE_BYTES = 65_536;

/** Settles after so many ms, or when the call is reset. */
const pause = (ms: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });

const answer = (reply: FakeReply, text: string): Promise<void> => {
  reply.start(200);
  return reply.end(Buffer.from(text));
};

const echo: FakeApp = async ({ method, mount, path, query, client, body }, reply, { fields }) => {
  const seen = fields[fields.indexOf("X-Field") + 1] ?? "";
  const named = {
    "X-Method": method,
    "X-Mount": mount,
    "X-Path": path,
    "X-Query": query,
    "X-Client": client,
  };
  reply.start(207, [
    ...Object.entries(named).flat(),
    "X-Seen",
    seen,
    "Set-Cookie",
    "a=1",
    "Set-Cookie",
    "b=é",
  ]);
  for await (const piece of body) await reply.write(piece);
  await reply.end();
};

const lines: FakeApp = async ({ body }, reply) => {
  reply.start(200);
  for await (const piece of body) await reply.write(Buffer.from(piece.toString().toUpperCase()));
  await reply.end();
};

const notesOf = ({ state }: FakeContext): string[] => (state["notes"] ??= []) as string[];

const make: FakeApp = async ({ query }, reply, context) => {
  reply.start(200);
  const beganMs = performance.now();
  for (let left = Number(query); left > 0; left -= PIECE_BYTES)
    await reply.write(Buffer.alloc(Math.min(left, PIECE_BYTES), "x"));
  notesOf(context).push(String(Math.round(performance.now() - beganMs)));
  await reply.end();
};

const count: FakeApp = async ({ body }, reply, { signal }) => {
  await pause(300, signal);
  let size = 0;
  for await (const piece of body) size += piece.length;
  await answer(reply, String(size));
};

const endless: FakeApp = async (_request, reply, context) => {
  reply.start(200);
  try {
    for (;;) {
      await reply.write(Buffer.alloc(1_000, "x"));
      await pause(10, context.signal);
    }
  } finally {
    notesOf(context).push("ended");
  }
};

const fail = (): never => {
  throw new RangeError("asked to raise");
};

const failAfter: FakeApp = async (_request, reply) => {
  reply.start(200);
  await reply.write(Buffer.from("some"));
  fail();
};

/** A head that HTTP cannot carry. */
const odd =
  (status: number, fields: readonly string[]) =>
  (_request: FakeRequest, reply: FakeReply): Promise<void> => {
    reply.start(status, fields);
    return reply.end(Buffer.from("never seen"));
  };

const sleep: FakeApp = async ({ query }, reply, { signal }) => {
  await pause(Number(query) * 1000, signal);
  await answer(reply, "slept");
};

const ROUTES: Readonly<Record<string, FakeApp>> = {
  "/echo": echo,
  "/lines": lines,
  "/make": make,
  "/count": count,
  "/endless": endless,
  "/noted": (_request, reply, context) => answer(reply, notesOf(context).join(" ")),
  "/fail-before": fail,
  "/fail-after": failAfter,
  "/bad-status": odd(999, []),
  "/bad-field": odd(200, ["X-Odd", "a\r\nX-Forged: b"]),
  "/sleep": sleep,
};

/** The conformance suite's web app in JavaScript; its Python twins are conformance/handlers/wsgi and asgi. */
export const FAKE_APP: FakeApp = (request, reply, context) => ROUTES[request.path]?.(request, reply, context);
