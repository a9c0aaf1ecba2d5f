import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";

import { afterEach, beforeEach, expect, it } from "vitest";

import { SandboxPool, SockEngine } from "../../src/index.ts";

const LIMITS = { memoryMb: 50, swappiness: 0, procs: 10, cpuPercent: 100, logMb: 1, scratchMb: 10 };

/** What a lambda finds of its process when it is loaded. */
const HANDLER = `
import os
import signal
import sys

FOUND = {
    "files": [sorted(os.listdir(directory)) for directory in ("/tmp", "/dev/shm", "/host")],
    "descriptors": sorted(os.listdir("/proc/self/fd")),
    "signals": [str(signal.getsignal(number)).partition(" at 0x")[0] for number in sorted(signal.valid_signals())],
    "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
    "environment": dict(os.environ),
    "path": sys.path,
    "last modules": list(sys.modules)[-2:],
    "streams": [type(stream).__name__ for stream in (sys.stdin, sys.stdout, sys.stderr)],
    "directory": os.getcwd(),
}


def f(event):
    return FOUND
`;

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), "ol-rehearsal-"));
  await mkdir(path.join(directory, "code", "look"), { recursive: true });
  await writeFile(path.join(directory, "code", "look", "f.py"), HANDLER);
});

afterEach(async () => {
  await rm(directory, { recursive: true });
});

const foundWith = async (prepared: number): Promise<unknown> => {
  const engine = await SockEngine.create({
    clusterId: `reh${Math.random().toString(36).slice(2, 10).padEnd(8, "0")}`,
    workerName: `worker-${prepared}`,
    workDir: path.join(directory, `work-${prepared}`),
    codeDir: path.join(directory, "code"),
    networks: ["none"],
    // One that still imports would have other modules.
    preload: "none",
    prepared,
  });
  try {
    await expect.poll(() => engine.stats().prepared, { timeout: 10_000 }).toBe(prepared);
    const pool = SandboxPool.create({ engine, memoryMb: 200 });
    try {
      const spec = { name: "look", code: "look", network: "none", environment: {}, limits: LIMITS } as const;
      const sandbox = await pool.acquire(spec);
      const { body } = await sandbox.call({ invocationId: "1", body: Buffer.from("{}"), timeoutMs: 10_000 });
      return JSON.parse(body.toString());
    } finally {
      await pool.close();
    }
  } finally {
    await engine.close();
  }
};

it("shows a lambda in a process that rehearsed a call the same as in one that did not", async () => {
  const unrehearsed = await foundWith(0);
  expect(unrehearsed).toMatchObject({ files: [[], [], expect.any(Array)], directory: "/handler" });
  expect(await foundWith(1)).toEqual(unrehearsed);
}, 60_000);
