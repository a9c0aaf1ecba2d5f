import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { HTTP_CASES, type HttpCase } from "../../packages/worker/test/http/cases.ts";
import { agentClient, rawClient } from "../../packages/worker/test/http/clients.ts";
import { PYTHON_FILES } from "../../packages/worker/test/http/lambdas.ts";
import { RawConnection } from "../../packages/worker/test/http/raw-connection.ts";
import { AppWorker } from "./support/app-worker.ts";
import { type BalancerProcess, startBalancerProcess } from "./support/balancer-process.ts";
import { localCode } from "./support/code-home.ts";

const matches = (actual: string | undefined, wanted: string | RegExp): boolean =>
  actual !== undefined && (typeof wanted === "string" ? actual === wanted : wanted.test(actual));

/** What a worker says to balancers is for us; and some pages are the worker's own. */
const BETWEEN_US = new Set(["x-ol-load", "x-ol-warm"]);
const cases = HTTP_CASES.filter(
  ({ request, title }) =>
    !/^\/(?:state|stats|debug|metrics|status)/u.test(request.path) &&
    // The worker believes us, and passes on what we say: see below.
    title !== "a client's X-OL headers are dropped",
);

const differences = (
  wanted: HttpCase,
  reply: { status: number; headers: Readonly<Record<string, string>>; body: Buffer },
): string[] => {
  const text = reply.body.toString();
  const expected = Object.entries(wanted.headers ?? {}).filter(([name]) => !BETWEEN_US.has(name));
  return [
    ...(reply.status === wanted.status ? [] : [`status ${reply.status}: ${text.slice(0, 500)}`]),
    // What is refused before it gets to a worker is said in other words.
    ...(wanted.body === undefined || wanted.status === 400 || matches(text, wanted.body)
      ? []
      : [`body ${text.slice(0, 500)}`]),
    ...expected.flatMap(([name, value]) =>
      matches(reply.headers[name], value) ? [] : [`${name} ${reply.headers[name]}`],
    ),
    ...(wanted.without ?? []).filter((name) => name in reply.headers),
    ...[...BETWEEN_US].filter((name) => name in reply.headers),
  ];
};

const TOKEN = "a token of this test only";

const chunk = (data: string): string => `${data.length.toString(16)}\r\n${data}\r\n`;

describe("a worker behind a balancer", () => {
  let worker: AppWorker;
  let balancer: BalancerProcess;

  beforeAll(async () => {
    worker = await AppWorker.start({ token: TOKEN });
    for (const [name, code] of Object.entries(PYTHON_FILES)) await localCode.put(worker.process, name, code);
    for (const kind of ["wsgi", "asgi"] as const) await worker.add(`${kind}-one`, kind, "max_instances: 1\n");
    balancer = await startBalancerProcess([`http://127.0.0.1:${worker.port}`], { token: TOKEN });
  });
  afterAll(async () => {
    await balancer[Symbol.asyncDispose]();
    await worker.close();
  });

  describe.each([rawClient(), agentClient()])("through $name", (client) => {
    afterAll(() => client.close());
    it.each(cases)("$title", async (wanted) => {
      expect(differences(wanted, await client.send(balancer.port, wanted.request))).toEqual([]);
    });
  });

  it.each(["wsgi", "asgi"])(
    "sends events of an app (%s) one by one, while the request still comes",
    async (kind) => {
      const raw = new RawConnection(balancer.port);
      await raw.write(
        `POST /run/${kind}-one/lines HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n`,
      );
      // The balancer waits for the first 64 KiB of a body, or for its end.
      await raw.write(chunk(`${"x".repeat(70_000)}\n`));
      await raw.through("x\n\n");
      for (const event of ["one", "two", "three"]) {
        await raw.write(chunk(`${event}\n`));
        await raw.through(`data: ${event}\n\n`);
      }
      await raw.write(chunk(""));
      expect(await raw.through("\r\n0\r\n\r\n")).not.toContain("data");
      raw.close();
    },
  );

  it("hears that a client is gone", async () => {
    const raw = new RawConnection(balancer.port);
    await raw.write("GET /run/asgi-one/endless?1000 HTTP/1.1\r\nHost: a\r\n\r\n");
    await raw.through("xxx");
    raw.close();
    await expect
      .poll(async () => (await worker.noted("asgi-one")).notes.at(-1), { timeout: 20_000 })
      .toMatchObject({ closed: true });
  });

  it("gives the lambda the id that the client is told, and nothing that the client says in our name", async () => {
    const client = agentClient();
    const headers = {
      "X-OL-Invocation-Id": "01ARZ3NDEKTSV4RRFFQ69G5FAV",
      "X-OL-Deadline-Ms": "1",
      "x-ol-anything": "spoofed",
      X_OL_Anything: "spoofed",
    };
    const reply = await client.send(balancer.port, {
      method: "POST",
      path: "/run/context",
      body: "{}",
      headers,
    });
    await client.close();
    const text = reply.body.toString();
    const id = reply.headers["x-ol-invocation-id"];
    expect(JSON.parse(text)).toMatchObject({ id, headers: { "x-ol-invocation-id": id } });
    expect(text).not.toMatch(/spoofed|01ARZ3NDEKTSV4RRFFQ69G5FAV|anything/iu);
  });
});
