import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";

import { describe, expect, it, onTestFinished } from "vitest";

import { freePorts } from "../../packages/common/src/index.ts";
import {
  cgroupsOf,
  identityLives,
  processesOf,
  statFields,
} from "../../packages/sandbox/test/support/leftovers.ts";
import { MODES, RealCluster, callOver } from "./support/real-cluster.ts";

const WORKERS = 3;

/** A process that has nothing to do with us, in a session of its own. */
const stranger = (): number => {
  const child = spawn("sleep", ["600"], { stdio: "ignore", detached: true });
  onTestFinished(async () => {
    const exited = once(child, "exit");
    child.kill("SIGKILL");
    await exited;
  });
  if (child.pid === undefined) throw new Error("sleep could not be started");
  return child.pid;
};

const pidsOf = (cluster: RealCluster): number[] =>
  processesOf({ clusterId: cluster.id, workDirs: [cluster.directory], sessions: [...cluster.sessions] })
    .map(({ pid }) => pid)
    .sort((a, b) => a - b);

describe.each(MODES)("two clusters of three workers on one machine, as $name", (mode) => {
  it("end alone: `kill` of one leaves nothing of it and touches nothing of the other", async () => {
    const [first, second] = [await RealCluster.create(mode), await RealCluster.create(mode)];
    const ends = await first.start(WORKERS, await freePorts(3));
    const stays = await second.start(WORKERS, await freePorts(3));
    for (const worker of [...ends, ...stays])
      expect(await callOver(worker, "hello", 1)).toEqual({ status: 200, text: "1" });
    const running = stays.map((worker) => callOver(worker, "nap", 3));
    const workersOfSecond = stays.map(({ pid }) => pid);
    const groups = cgroupsOf(second.id);
    expect(pidsOf(first).length).toBeGreaterThanOrEqual(WORKERS * 4);

    expect(await first.admin("kill")).toMatchObject({ code: 0 });

    expect(first.leftovers()).toEqual([]);
    for (const { pid } of ends) expect(identityLives(pid)).toBe(false);
    expect(cgroupsOf(second.id)).toEqual(expect.arrayContaining(groups));
    expect(pidsOf(second)).toEqual(expect.arrayContaining(workersOfSecond));
    expect((await Promise.all(running)).map(({ status }) => status)).toEqual([200, 200, 200]);
    for (const worker of stays)
      expect(await callOver(worker, "hello", 2)).toEqual({ status: 200, text: "2" });
    expect(await first.admin("kill")).toMatchObject({ code: 0 });
    expect(await second.admin("kill")).toMatchObject({ code: 0 });
    expect(second.leftovers()).toEqual([]);
  });

  it("have nothing in common that a crash of one could break", async () => {
    const [first, second] = [await RealCluster.create(mode), await RealCluster.create(mode)];
    const port = await freePorts(3);
    const dies = await first.start(WORKERS, port);
    const stays = await second.start(WORKERS, await freePorts(3));
    for (const { pid } of dies) process.kill(pid, "SIGKILL");
    for (const worker of stays)
      expect(await callOver(worker, "hello", 1)).toEqual({ status: 200, text: "1" });
    const again = await first.start(WORKERS, port);
    expect(first.leftovers(again.map(({ pid }) => pid))).toEqual([]);
    for (const worker of [...again, ...stays])
      expect(await callOver(worker, "hello", 2)).toEqual({ status: 200, text: "2" });
  });
});

describe.each(MODES)("a stale pid file, as $name", (mode) => {
  it("that names a stranger's process harms nobody", async () => {
    const cluster = await RealCluster.create(mode);
    const port = await freePorts(3);
    const pid = stranger();
    const startTime = statFields(pid)?.[19] ?? "";
    const bootId = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
    const [worker] = await cluster.start(1, port);
    expect(await cluster.admin("kill")).toMatchObject({ code: 0 });
    const stale = [
      `${pid}\n1\n${bootId}\n`,
      `${pid}\n${startTime}\n00000000-0000-0000-0000-000000000000\n`,
      `${pid}\n`,
      `-${pid}\n${startTime}\n${bootId}\n`,
      `0\n${startTime}\n${bootId}\n`,
      `-1\n${startTime}\n${bootId}\n`,
      "\0\n\0\n",
      "",
    ];
    const outcomes = [];
    for (const text of stale) {
      writeFileSync(cluster.pidFile(0), text);
      const { code } = await cluster.admin("kill");
      outcomes.push({ text, code, pidFile: existsSync(cluster.pidFile(0)), stranger: identityLives(pid) });
    }
    expect(outcomes).toEqual(stale.map((text) => ({ text, code: 0, pidFile: false, stranger: true })));
    writeFileSync(cluster.pidFile(0), stale[0] ?? "");
    const [next] = await cluster.start(1, port);
    if (next === undefined || worker === undefined) throw new Error("no worker was started");
    expect(await callOver(next, "hello", 1)).toEqual({ status: 200, text: "1" });
    expect(await cluster.admin("kill")).toMatchObject({ code: 0 });
    expect(identityLives(pid)).toBe(true);
    expect(cluster.leftovers()).toEqual([]);
  });
});
