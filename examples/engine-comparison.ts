// Compares engines: what it takes to make a sandbox, until its first reply, for a call to one that is there, and to end it.
// Usage: node examples/dist/engine-comparison.js [ROUNDS]
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { DockerEngine, type Sandbox, type SandboxEngine, SandboxPool, SockEngine } from "@ol/sandbox";
import { CONFORMANCE_HANDLERS_DIR } from "@ol/sandbox/testing";

import { ProcessEngine } from "./process-engine.ts";

const codeDir = CONFORMANCE_HANDLERS_DIR;
const rounds = Number(process.argv[2] ?? 50);
if (!Number.isInteger(rounds) || rounds < 1) {
  console.error("usage: engine-comparison.js [ROUNDS], a whole number from 1 on");
  process.exit(2);
}
const workDir = await mkdtemp(join(tmpdir(), "engines-"));

/** Those to compare; one that this machine has not is left out, with the reason. */
const ENGINES: Readonly<Record<string, () => Promise<SandboxEngine>>> = {
  sock: () =>
    SockEngine.create({
      clusterId: randomBytes(4).toString("hex"),
      workerName: "w",
      workDir,
      codeDir,
      networks: ["none"],
    }),
  // Of the image that IMAGE names, with the daemon that the command `docker` would ask.
  docker: () =>
    DockerEngine.create({
      clusterId: randomBytes(4).toString("hex"),
      workerName: "d",
      workDir: join(workDir, "docker"),
      codeDir,
      daemon: { environment: process.env },
      ...(process.env["IMAGE"] !== undefined && { image: process.env["IMAGE"] }),
    }),
  process: async () => new ProcessEngine({ codeDir }),
};

/** Medians, in ms; of what a sandbox holds, in KB. */
interface Row {
  readonly engine: string;
  readonly create: number;
  readonly firstReply: number;
  readonly warmCall: number;
  readonly destroy: number;
  readonly holdsKb: number;
}

const median = (values: readonly number[]): number =>
  Math.round((values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0) * 1000) / 1000;

const call = async (sandbox: Sandbox, number: number): Promise<void> => {
  const reply = await sandbox.call({
    invocationId: `call-${number}`,
    body: Buffer.from("1"),
    timeoutMs: 30_000,
  });
  if (reply.failure !== undefined) throw new Error(reply.body.toString());
};

const measure = async (name: string, engine: SandboxEngine, rounds: number): Promise<Row> => {
  await using pool = SandboxPool.create({ engine, memoryMb: 1_000 });
  const limits = { memoryMb: 50, swappiness: 0, procs: 10, cpuPercent: 100, logMb: 1, scratchMb: 10 };
  const times: Record<"create" | "firstReply" | "warmCall" | "destroy" | "holdsKb", number[]> = {
    create: [],
    firstReply: [],
    warmCall: [],
    destroy: [],
    holdsKb: [],
  };
  for (let round = 0; round < rounds; round += 1) {
    const askedMs = performance.now();
    const sandbox = await pool.acquire({
      name: "echo",
      code: "echo",
      network: "none",
      environment: {},
      limits,
    });
    times.create.push(performance.now() - askedMs);
    await call(sandbox, 0);
    times.firstReply.push(performance.now() - askedMs);
    for (let number = 1; number <= 10; number += 1) {
      const sinceMs = performance.now();
      await call(sandbox, number);
      times.warmCall.push(performance.now() - sinceMs);
    }
    times.holdsKb.push((await sandbox.memoryBytes()) / 1024);
    const endedMs = performance.now();
    await sandbox.destroy();
    times.destroy.push(performance.now() - endedMs);
  }
  return {
    engine: name,
    create: median(times.create),
    firstReply: median(times.firstReply),
    warmCall: median(times.warmCall),
    destroy: median(times.destroy),
    holdsKb: Math.round(median(times.holdsKb)),
  };
};

const rows: Row[] = [];
try {
  for (const [name, make] of Object.entries(ENGINES)) {
    try {
      await using engine = await make();
      rows.push(await measure(name, engine, rounds));
    } catch (error) {
      console.error(`${name} is left out: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
} finally {
  await rm(workDir, { recursive: true, force: true });
}
console.table(rows);
