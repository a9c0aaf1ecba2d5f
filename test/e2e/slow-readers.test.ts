import { afterAll, beforeAll, expect, it } from "vitest";

import type { LambdaStats } from "../../packages/lambda/src/index.ts";
import { scaled } from "../../packages/sandbox/test/support/scale.ts";
import { RawConnection } from "../../packages/worker/test/http/raw-connection.ts";
import { AppWorker } from "./support/app-worker.ts";

const READERS = scaled(20, 200);
const BYTES = 200_000;
/** More than the kernel takes of a reply that nobody reads. */
const BLOCKING_BYTES = 50_000_000;
const WAIT = { timeout: 30_000, interval: 50 };

let worker: AppWorker;

beforeAll(async () => {
  worker = await AppWorker.start({ limits: { runtime_sec: 60 } });
  const python = 'def f(event):\n    return "x" * event\n';
  await worker.addFunction("sized", python, "max_instances: 1\n");
  await worker.addFunction("blocking", python, "limits:\n  mem_mb: 300\n");
});
afterAll(() => worker.close());

const stats = (): Promise<LambdaStats> => worker.json<LambdaStats>("/stats");

const answeredBy = ({ functions }: LambdaStats, lambda: string): number =>
  functions.find(({ name }) => name === lambda)?.calls.answered ?? 0;

const request = (name: string, event: number): string => {
  const body = String(event);
  return `POST /run/${name} HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
};

/** A connection on which nothing is read any more, and the kernel takes nothing more either. */
const blockedConnection = async (): Promise<RawConnection> => {
  const connection = new RawConnection(worker.port);
  await connection.write(request("blocking", BLOCKING_BYTES));
  await connection.head();
  connection.pause();
  return connection;
};

it(`${READERS} clients that read nothing of what they are sent do not keep a function's one sandbox from others`, async () => {
  // Whatever the kernel would take of each reply, it takes nothing behind one that fills the connection.
  const connection = await blockedConnection();
  await new Promise((resolve) => setTimeout(resolve, 500));
  await connection.write(request("sized", BYTES).repeat(READERS));
  await expect.poll(async () => answeredBy(await stats(), "sized"), WAIT).toBe(READERS);
  expect((await stats()).unread).toBe(READERS);
  for (let call = 0; call < 5; call += 1) {
    const { status, body } = await worker.post("/run/sized", "3");
    expect([status, body.toString()]).toEqual([200, '"xxx"']);
  }
  connection.close();
  await expect.poll(() => stats(), WAIT).toMatchObject({ unread: 0, running: 0 });
});
