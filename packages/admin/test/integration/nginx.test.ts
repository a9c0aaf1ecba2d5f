import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { createServer, request, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";

import { freePorts, isPortFree } from "@ol/common";
import { expect, it, onTestFinished } from "vitest";

import { nginxFiles } from "../../src/balancer/proxy-configs.ts";
import { temporaryDirectory } from "../support/harness.ts";

const PATIENCE = { timeout: 30_000 };
const CALLS = 12;

/** A worker that answers nothing until it is let. */
const holdingWorker = async (): Promise<{ address: string; held: ServerResponse[] }> => {
  const held: ServerResponse[] = [];
  const server = createServer((_, response) => void held.push(response));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { address: `127.0.0.1:${(server.address() as AddressInfo).port}`, held };
};

/** How many calls of one lambda each of two workers has when nginx has been sent 12, and what came of them. */
const spread = async (
  slots: number | undefined,
): Promise<{ held: readonly number[]; statuses: readonly number[] }> => {
  const workers = [await holdingWorker(), await holdingWorker()];
  const directory = temporaryDirectory();
  const port = await freePorts(1);
  const plan = {
    port,
    workers: workers.map(({ address }) => ({ address, slots })),
    keys: new Map<string, string>(),
    place: join(directory, "nginx"),
  };
  for (const { path, text } of nginxFiles(plan)) await writeFile(path, text);
  const nginx = spawn("nginx", ["-c", join(directory, "nginx.conf"), "-g", "daemon off;"], {
    stdio: "ignore",
  });
  onTestFinished(async () => {
    if (nginx.exitCode !== null || nginx.signalCode !== null) return;
    nginx.kill("SIGTERM");
    await once(nginx, "exit");
  });
  const call = (): Promise<number> =>
    new Promise((resolve, reject) => {
      const sent = request({ port, host: "127.0.0.1", method: "POST", path: "/run/one", agent: false });
      sent.once("response", (response) =>
        response.resume().once("end", () => resolve(response.statusCode ?? 0)),
      );
      sent.once("error", reject).end("{}");
    });
  const total = (): number => workers.reduce((sum, { held }) => sum + held.length, 0);
  // Nothing tells when it listens.
  await expect.poll(() => isPortFree(["127.0.0.1"], port), PATIENCE).toBe(false);
  const calls = Array.from({ length: CALLS }, () => call());
  await expect.poll(total, PATIENCE).toBe(CALLS);
  const held = workers.map((worker) => worker.held.length).toSorted((a, b) => b - a);
  for (const worker of workers) for (const response of worker.held) response.end("done");
  return { held, statuses: await Promise.all(calls) };
};

it("nginx, as lb-config sets it up, keeps a lambda's calls at one worker up to eight a slot, and sends what is more to the next", async () => {
  const bounded = await spread(1);
  expect(bounded.held).toEqual([8, 4]);
  expect(bounded.statuses).toEqual(Array(CALLS).fill(200));
  // Of a worker that does not say how many slots it has there is no bound.
  expect((await spread(undefined)).held).toEqual([CALLS, 0]);
});
