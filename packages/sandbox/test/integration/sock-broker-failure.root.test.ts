import { mkdir, mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";

import { expect, it, onTestFinished } from "vitest";

import { silentLogger } from "@ol/common";

import { BrokerClient } from "../../src/sock/broker-client.ts";
import { BROKER } from "../../src/sock/python.ts";
import { startFields } from "../../src/sock/start-fields.ts";
import { SockEngine } from "../../src/index.ts";
import { eventually, removeAll } from "../support/cluster.ts";
import { leftovers } from "../support/leftovers.ts";

const IGNORE = (): void => undefined;

/** A broker by itself, over directories of its own, with a process that waits in a control group. */
const startBroker = async () => {
  const directory = await mkdtemp(path.join(tmpdir(), "ol-broker-"));
  onTestFinished(() => removeAll(directory));
  const clusterId = Math.random().toString(36).slice(2, 10).padEnd(8, "0");
  const options = {
    clusterId,
    workerName: "worker-0",
    workDir: path.join(directory, "work"),
    codeDir: path.join(directory, "code"),
    networks: ["none"] as const,
  };
  await mkdir(options.workDir);
  await mkdir(options.codeDir);
  const events = { exit: IGNORE, full: IGNORE, zygoteExit: IGNORE, prepared: IGNORE, ended: IGNORE };
  const broker = new BrokerClient("python3", BROKER, events, silentLogger);
  await broker.request("start", startFields(options));
  const left = (): string[] =>
    leftovers({ clusterId, workDirs: [], sessions: [], living: [] }).filter(
      (line) => line.startsWith("cgroup") || line.startsWith("process"),
    );
  expect(await eventually(() => left().some((line) => line.includes("/sb-")))).toBe(true);
  return { broker, left, options };
};

it("a broker that ends by a mistake of its own leaves no process and no control group", async () => {
  const { broker, left } = await startBroker();
  await expect(broker.request("no-such-verb")).rejects.toMatchObject({
    code: "OL_SANDBOX_BROKER_LOST",
    message: expect.stringContaining("'no-such-verb' is unknown") as string,
  });
  expect(await eventually(() => left().length === 0)).toBe(true);
});

it("one that is killed leaves its groups to the next start", async () => {
  const { broker, left, options } = await startBroker();
  process.kill(broker.pid ?? 0, "SIGKILL");
  await broker.exited;
  expect(left().some((line) => line.startsWith("cgroup"))).toBe(true);
  await (await SockEngine.create(options)).close();
  expect(await eventually(() => left().length === 0)).toBe(true);
});
