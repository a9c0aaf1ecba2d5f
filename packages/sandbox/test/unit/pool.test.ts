import { describe, expect, it } from "vitest";

import { SandboxPool } from "../../src/index.ts";
import { FakeEngine } from "../../src/testing/index.ts";

const limits = { memoryMb: 50, swappiness: 0, procs: 10, cpuPercent: 100, logMb: 1, scratchMb: 10 };
const spec = (code: string) => ({ name: code, code, network: "none" as const, environment: {}, limits });
const call = (body: string, timeoutMs = 2000) => ({
  invocationId: "i",
  body: Buffer.from(body),
  timeoutMs,
});

describe("the sandbox pool", () => {
  it("makes a sandbox that answers a call", async () => {
    await using engine = new FakeEngine();
    await using pool = SandboxPool.create({ engine, memoryMb: 100 });
    const sandbox = await pool.acquire(spec("echo"));
    const reply = await sandbox.call(call('{"a":1}'));
    expect(reply.failure).toBeUndefined();
    expect(reply.body.toString()).toBe('{"a":1}');
  });
});
