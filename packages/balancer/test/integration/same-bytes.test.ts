import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { startBalancer, type TestBalancer } from "../wire/balancer.ts";
import { ODD_REQUESTS } from "../wire/odd-requests.ts";
import { type OtherProxy, startHaproxy, startNginx } from "../wire/other-proxies.ts";
import { RawClient } from "../wire/raw-client.ts";
import { fieldOf, ScriptedWorker } from "../wire/scripted-worker.ts";

/** What one proxy made of some bytes. */
interface Made {
  /** What the worker behind it saw. */
  readonly seen: readonly string[];
  /** Statuses of what the client got. */
  readonly statuses: readonly number[];
}

/** After that time without another reply there is none. */
const QUIET_MS = 150;

const exchange = async (where: number | string, worker: ScriptedWorker, bytes: string): Promise<Made> => {
  worker.seen.length = 0;
  using client = new RawClient(where);
  await client.send(bytes);
  const statuses: number[] = [];
  let text = "";
  // Some proxies wait for more, and say nothing.
  for (let quiet = 0; quiet < (text === "" ? 3 : 1) && !client.closed; quiet += 1) {
    await Promise.race([
      client.until(() => client.text !== text),
      new Promise((resolve) => setTimeout(resolve, QUIET_MS)),
    ]);
    if (client.text !== text) quiet = -1;
    text = client.text;
  }
  for (const [, status] of text.matchAll(/(?:^|\r\n\r\n[^\r]*?)HTTP\/1\.[01] (\d{3}) /gu))
    statuses.push(Number(status));
  const seen = worker.seen.map((request) =>
    // Of a client of HTTP/1.0 that names no Host we send the worker's own, others none, or an old version.
    JSON.stringify([
      request.line.replace("HTTP/1.0", "HTTP/1.1"),
      (fieldOf(request, "host") ?? "").replace(`127.0.0.1:${worker.port}`, ""),
      request.body,
    ]),
  );
  return { seen, statuses };
};

describe("the same bytes to nginx, to HAProxy and to us", () => {
  let workers: readonly ScriptedWorker[] = [];
  let nginx: OtherProxy | undefined;
  let haproxy: OtherProxy | undefined;
  let balancer: TestBalancer | undefined;

  beforeAll(async () => {
    workers = await Promise.all([1, 2, 3].map(() => ScriptedWorker.start()));
    nginx = await startNginx(workers[0]!.port);
    haproxy = await startHaproxy(workers[1]!.port);
    balancer = await startBalancer([workers[2]!]);
  });
  afterAll(async () => {
    await nginx?.[Symbol.asyncDispose]();
    await haproxy?.[Symbol.asyncDispose]();
    await balancer?.[Symbol.asyncDispose]();
    await Promise.all(workers.map((worker) => worker[Symbol.asyncDispose]()));
  });

  it.each(Object.entries(ODD_REQUESTS))(
    "%s: a worker behind us sees what one behind another sees, or nothing",
    // A machine that stands still looks like a proxy that says no more.
    { retry: 2 },
    async (_, bytes) => {
      const [byNginx, byHaproxy, byUs] = await Promise.all([
        exchange(nginx!.socket, workers[0]!, bytes),
        exchange(haproxy!.socket, workers[1]!, bytes),
        exchange(balancer!.port, workers[2]!, bytes),
      ]);
      const agreeing = [byNginx.seen, byHaproxy.seen].some(
        (seen) => JSON.stringify(seen) === JSON.stringify(byUs.seen),
      );
      const refused = byUs.seen.length === 0 && byUs.statuses.every((status) => status >= 400);
      expect({ agreeing: agreeing || refused, byNginx, byHaproxy, byUs }).toMatchObject({ agreeing: true });
      // What is passed on is answered, and what is not is refused once: the rest of it is no request.
      expect(byUs.statuses.filter((status) => status === 200).length).toBe(byUs.seen.length);
      expect(byUs.statuses.filter((status) => status !== 200).length).toBeLessThanOrEqual(1);
    },
  );
});
