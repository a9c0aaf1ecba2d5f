import { expect, it } from "vitest";

import { startBalancer } from "../wire/balancer.ts";
import { startPlainHttpProxy } from "../wire/plain-http-proxy.ts";
import { RawClient } from "../wire/raw-client.ts";
import { ScriptedWorker } from "../wire/scripted-worker.ts";

/** From here on Node warns of what http-proxy's own passes call. */
const WARNS = Number(process.versions.node.split(".")[0]) >= 22;

const call = async (port: number): Promise<void> => {
  using client = new RawClient(port);
  await client.send("GET /run/x HTTP/1.1\r\nHost: a\r\n\r\n");
  expect(await client.reply()).toMatchObject({ status: 200 });
  // Warnings come in a later round.
  await new Promise(setImmediate);
};

// A file of its own: Node warns of each thing once a process.
it("nothing deprecated is called for a call", async () => {
  const codes: unknown[] = [];
  const heard = (warning: Error & { code?: string }): void => void codes.push(warning.code);
  process.on("warning", heard);
  try {
    await using worker = await ScriptedWorker.start();
    await using balancer = await startBalancer([worker]);
    await call(balancer.port);
    expect(codes).toEqual([]);
    await using plain = await startPlainHttpProxy(worker.url, { headers: {}, target: worker.url });
    await call(plain.port);
    expect(codes).toEqual(WARNS ? ["DEP0060"] : []);
  } finally {
    process.off("warning", heard);
  }
});
