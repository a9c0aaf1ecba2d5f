import assert from "node:assert/strict";

import { SlowExchange, answerOf, isRefused, requestOf, valuesOf } from "./conformance-http-kit.ts";
import { callOf, failsWith, failureOf, specOf } from "./conformance-kit.ts";
import type { ConformanceCase } from "./conformance.ts";

/** More than several windows hold. */
const LARGE_BYTES = 2_000_000;
/** The credit of a stream before any of it is used. */
const WINDOW_BYTES = 262_144;
/** How long a client takes nothing. */
const HOLD_MS = 150;
const PIECE = Buffer.alloc(50_000, "p");

/** What apps of both kinds do. */
const casesOf = (kind: "wsgi" | "asgi"): readonly ConformanceCase[] => [
  {
    title: `gives an app (${kind}) its request, and answers with its status, fields and bytes`,
    run: async (pool) => {
      const sandbox = await pool.acquire(specOf(kind));
      const body = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
      const reply = await sandbox.call(requestOf("/echo?a=b&c", body, { rawHeaders: ["X-Field", "seen"] }));
      assert.equal(sandbox.kind, kind);
      assert.deepEqual([reply.failure, reply.head?.status], [undefined, 207]);
      assert.ok(reply.body.equals(body), "the body came back changed");
      const names = ["X-Method", "X-Mount", "X-Path", "X-Query", "X-Client", "X-Seen", "Set-Cookie"];
      assert.deepEqual(
        names.map((name) => valuesOf(reply, name).join(" ")),
        ["POST", "/run/app", "/echo", "a=b&c", "192.0.2.7", "seen", "a=1 b=é"],
      );
    },
  },
  {
    title: `lets an app (${kind}) answer while the request's body still comes`,
    run: async (pool) => {
      const sandbox = await pool.acquire(specOf(kind));
      const exchange = new SlowExchange(sandbox, requestOf("/lines", "", { bodyFollows: true }));
      let expected = "";
      for (const line of ["one\n", "two\n", "three\n"]) {
        await exchange.write(line);
        expected += line.toUpperCase();
        await exchange.until(() => exchange.text === expected);
      }
      assert.deepEqual(exchange.heard, ["start"]);
      exchange.endBody();
      await exchange.until(() => exchange.over);
      assert.deepEqual([exchange.heard, exchange.text], [["start", "end"], expected]);
    },
  },
  {
    title: `keeps the body for an app (${kind}) back while the app takes none of it`,
    run: async (pool) => {
      const sandbox = await pool.acquire(specOf(kind));
      await sandbox.ready;
      const exchange = new SlowExchange(sandbox, requestOf("/count", "", { bodyFollows: true }));
      await exchange.room();
      let sent = exchange.writeAll(PIECE, LARGE_BYTES);
      assert.ok(sent >= WINDOW_BYTES && sent <= WINDOW_BYTES + PIECE.length, `${sent} bytes at once`);
      for (; sent < LARGE_BYTES; sent += PIECE.length) await exchange.write(PIECE);
      exchange.endBody();
      await exchange.until(() => exchange.over);
      assert.equal(exchange.text, String(sent));
    },
  },
  {
    title: `keeps an app (${kind}) back while its client takes none of the reply`,
    run: async (pool) => {
      const sandbox = await pool.acquire(specOf(kind));
      const exchange = new SlowExchange(sandbox, requestOf(`/make?${LARGE_BYTES}`));
      exchange.hold();
      await exchange.until(() => exchange.received > 0);
      const held = exchange.received;
      await new Promise((resolve) => setTimeout(resolve, HOLD_MS));
      assert.equal(exchange.received, held);
      exchange.take();
      await exchange.until(() => exchange.over);
      assert.deepEqual([exchange.heard, exchange.received], [["start", "end"], LARGE_BYTES]);
      const madeMs = Number(await answerOf(sandbox, "/noted"));
      // Timers may be a little early.
      assert.ok(madeMs >= HOLD_MS - 10, `the app was through after ${madeMs} ms`);
    },
  },
  {
    title: `tells an app (${kind}) that its client is gone, and runs the next request`,
    run: async (pool) => {
      const sandbox = await pool.acquire(specOf(kind));
      const exchange = new SlowExchange(sandbox, requestOf("/endless"));
      await exchange.until(() => exchange.received > 0);
      exchange.cancel();
      const heard = exchange.received;
      assert.equal(await answerOf(sandbox, "/sleep?0"), "slept");
      while (sandbox.inFlight > 0) await answerOf(sandbox, "/sleep?0.01");
      assert.equal(await answerOf(sandbox, "/noted"), "ended");
      assert.deepEqual([exchange.heard, exchange.received], [["start", "fail"], heard]);
      assert.equal(exchange.error?.code, "OL_SANDBOX_CANCELLED");
    },
  },
  {
    title: `fails the request of an app (${kind}) that raises, before its reply or in it, and lives on`,
    run: async (pool) => {
      const sandbox = await pool.acquire(specOf(kind));
      const before = await sandbox.call(requestOf("/fail-before"));
      assert.equal(before.failure, "exception");
      assert.match(failureOf(before).message, /asked to raise/);
      const after = new SlowExchange(sandbox, requestOf("/fail-after"));
      await after.until(() => after.over);
      assert.deepEqual([after.heard, after.text], [["start", "fail"], "some"]);
      assert.equal(after.error?.code, "OL_SANDBOX_APP_FAILED");
      assert.equal(await answerOf(sandbox, "/sleep?0"), "slept");
    },
  },
  {
    title: `fails the request of an app (${kind}) whose reply HTTP cannot carry, and lives on`,
    run: async (pool) => {
      const sandbox = await pool.acquire(specOf(kind));
      await isRefused(sandbox, "/bad-status", "OL_SANDBOX_BAD_REPLY");
      await isRefused(sandbox, "/bad-field", "OL_SANDBOX_BAD_REPLY");
      assert.equal(await answerOf(sandbox, "/sleep?0"), "slept");
    },
  },
];

/** What sandboxes do whose code is a web app, or that get an HTTP request for a function. */
export const HTTP_CASES: readonly ConformanceCase[] = [
  ...casesOf("wsgi"),
  ...casesOf("asgi"),
  {
    title: "gives a function the body of an HTTP request as its event",
    run: async (pool) => {
      const sandbox = await pool.acquire(specOf("echo"));
      const replies = await Promise.all(
        ['{"a":1}', "", "{"].map((body) => sandbox.call(requestOf("/x", body))),
      );
      assert.equal(sandbox.kind, "function");
      assert.deepEqual(
        replies.slice(0, 2).map(({ failure, head, body }) => [failure, head, body.toString()]),
        [
          [undefined, undefined, '{"a":1}'],
          [undefined, undefined, "{}"],
        ],
      );
      assert.equal(replies[2]?.failure, "bad-input");
      const exchange = new SlowExchange(sandbox, requestOf("/x", '"in ', { bodyFollows: true }));
      await exchange.write('pieces"');
      exchange.endBody();
      await exchange.until(() => exchange.over);
      assert.deepEqual([exchange.text, exchange.head], ['"in pieces"', undefined]);
    },
  },
  {
    title: "takes a request to a function back whose client leaves before its body is complete",
    run: async (pool) => {
      const sandbox = await pool.acquire(specOf("count"));
      const exchange = new SlowExchange(sandbox, requestOf("/x", "0", { bodyFollows: true }));
      await exchange.room();
      exchange.cancel();
      const reply = await sandbox.call(callOf(0));
      assert.deepEqual([reply.body.toString(), exchange.heard], ["1", ["fail"]]);
    },
  },
  {
    title: "runs the requests of a wsgi app one after the other, also if their bodies come at the same time",
    run: async (pool) => {
      const sandbox = await pool.acquire(specOf("wsgi"));
      await sandbox.ready;
      const exchanges = [1, 2].map(
        () => new SlowExchange(sandbox, requestOf("/count", "", { bodyFollows: true })),
      );
      const behind = sandbox.call(requestOf("/echo", "behind"));
      const send = async (exchange: SlowExchange): Promise<void> => {
        for (let sent = 0; sent < LARGE_BYTES; sent += PIECE.length) await exchange.write(PIECE);
        exchange.endBody();
      };
      await Promise.all(exchanges.map(send));
      assert.equal((await behind).body.toString(), "behind");
      assert.deepEqual(
        exchanges.map(({ text }) => text),
        [String(LARGE_BYTES), String(LARGE_BYTES)],
      );
    },
  },
  {
    title: "asks for the body of a request to a paused sandbox once it runs again",
    run: async (pool) => {
      const sandbox = await pool.acquire(specOf("asgi"));
      assert.equal(await answerOf(sandbox, "/sleep?0"), "slept");
      assert.equal(await sandbox.pause(), true);
      const exchange = new SlowExchange(sandbox, requestOf("/lines", "", { bodyFollows: true }));
      assert.equal(exchange.writeAll(PIECE, PIECE.length), 0);
      await exchange.write("awake\n");
      assert.equal(sandbox.state, "ready");
      exchange.endBody();
      await exchange.until(() => exchange.over);
      assert.equal(exchange.text, "AWAKE\n");
    },
  },
  {
    title: "runs the requests of an asgi app at the same time",
    run: async (pool) => {
      const sandbox = await pool.acquire(specOf("asgi"));
      await sandbox.ready;
      const slow = new SlowExchange(sandbox, requestOf("/lines", "", { bodyFollows: true }));
      assert.ok(sandbox.streams > 3, `it takes ${sandbox.streams} requests at once`);
      const answers = await Promise.all(
        ["/sleep?0.05", "/sleep?0", "/noted"].map((path) => answerOf(sandbox, path)),
      );
      assert.deepEqual(answers, ["slept", "slept", ""]);
      assert.equal(sandbox.inFlight, 1);
      await slow.write("still here\n");
      slow.endBody();
      await slow.until(() => slow.over);
      assert.equal(slow.text, "STILL HERE\n");
    },
  },
  {
    title: "ends a request of an asgi app over its time limit, and the sandbox once those beside it are over",
    run: async (pool) => {
      const sandbox = await pool.acquire(specOf("asgi"));
      await sandbox.ready;
      const beside = answerOf(sandbox, "/sleep?1");
      await failsWith(sandbox.call(requestOf("/sleep?30", "", { timeoutMs: 200 })), "OL_SANDBOX_TIMEOUT");
      await failsWith(sandbox.call(requestOf("/noted")), "OL_SANDBOX_DESTROYED");
      assert.equal(await beside, "slept");
      await sandbox.exited;
    },
  },
  {
    title: "ends a request of a wsgi app over its time limit, and the sandbox with it",
    run: async (pool) => {
      const sandbox = await pool.acquire(specOf("wsgi"));
      await sandbox.ready;
      await failsWith(sandbox.call(requestOf("/sleep?30", "", { timeoutMs: 200 })), "OL_SANDBOX_TIMEOUT");
      await sandbox.exited;
      await failsWith(sandbox.call(requestOf("/noted")), "OL_SANDBOX_DESTROYED");
    },
  },
];
