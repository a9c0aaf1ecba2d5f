import { channel } from "node:diagnostics_channel";

import { describe, expect, it, onTestFinished } from "vitest";

import {
  onSandboxChannel,
  type PoolOptions,
  SANDBOX_CHANNELS,
  type SandboxChannels,
  SandboxPool,
  type ZygoteSpec,
} from "../../src/index.ts";
import { callOf, failsWith, resultOf, specOf } from "../../src/testing/conformance-kit.ts";
import { FakeEngine } from "../../src/testing/index.ts";

const makePool = (options: Partial<PoolOptions> = {}): SandboxPool => {
  const engine = new FakeEngine();
  const pool = SandboxPool.create({ engine, memoryMb: 100, ...options });
  onTestFinished(async () => {
    await pool.close();
    await engine.close();
  });
  return pool;
};

type Heard = { [Name in keyof SandboxChannels]: [Name, SandboxChannels[Name]] }[keyof SandboxChannels];

/** Everything that is said on all channels from now on. */
const listen = (): Heard[] => {
  const heard: Heard[] = [];
  for (const name of SANDBOX_CHANNELS)
    onTestFinished(onSandboxChannel(name, (message) => void heard.push([name, message] as Heard)));
  return heard;
};

const namesOf = (heard: readonly Heard[]): string[] => heard.map(([name]) => name);

const zygote: ZygoteSpec = {
  network: "none",
  packages: ["lib"],
  modules: ["ol_conformance"],
  limits: specOf("echo").limits,
};

describe("the channels of a pool", () => {
  it("tell a sandbox's life, from its making to its end", async () => {
    const heard = listen();
    const pool = makePool();
    const sandbox = await pool.acquire(specOf("echo"));
    await resultOf(sandbox, 1);
    await sandbox.pause();
    await sandbox.resume();
    await sandbox.destroy();
    expect(namesOf(heard)).toEqual([
      "ol:sandbox:create",
      "ol:sandbox:ready",
      "ol:sandbox:pause",
      "ol:sandbox:resume",
      "ol:sandbox:destroy",
    ]);
    const { id } = sandbox;
    const about = { id, name: "echo" };
    expect(heard[0]?.[1]).toMatchObject({ ...about, network: "none", memoryMb: 50, packages: 0 });
    expect(heard[1]?.[1]).toMatchObject({ ...about, loadMs: expect.any(Number) });
    expect(heard[4]?.[1]).toMatchObject({ ...about, uses: 1, code: "OL_SANDBOX_DESTROYED" });
    // What can be recorded as it is.
    expect(JSON.parse(JSON.stringify(heard.map(([, message]) => message)))).toHaveLength(5);
  });

  it("tell with which error a sandbox ended by itself, and why one was not made", async () => {
    const heard = listen();
    const pool = makePool({ memoryMb: 50 });
    const sandbox = await pool.acquire(specOf("exit"));
    await failsWith(pool.acquire(specOf("echo"), { deadlineMs: 10 }), "OL_SANDBOX_NO_MEMORY");
    await failsWith(sandbox.call(callOf(3)), "OL_SANDBOX_EXITED");
    await expect.poll(() => namesOf(heard).at(-1)).toBe("ol:sandbox:destroy");
    expect(heard.find(([name]) => name === "ol:sandbox:fail")?.[1]).toMatchObject({
      name: "echo",
      code: "OL_SANDBOX_NO_MEMORY",
    });
    expect(heard.at(-1)?.[1]).toMatchObject({ name: "exit", code: "OL_SANDBOX_EXITED" });
  });

  it("tell what an evictor chose from, what it chose, and what went", async () => {
    const pool = makePool();
    await pool.createZygote("z1", zygote);
    const idle = await pool.acquire(specOf("echo"));
    await idle.ready;
    idle.markIdle();
    const heard = listen();
    await pool.acquire(specOf("count"));
    await pool.acquire(specOf("count"));
    const choices = heard.filter(([name]) => name === "ol:eviction:choose").map(([, message]) => message);
    expect(choices[0]).toMatchObject({
      missingMb: 50,
      trial: false,
      sandboxes: 1,
      zygotes: 1,
      chosen: [idle.id],
    });
    const evicted = heard.filter(([name]) => name === "ol:eviction:evict").map(([, message]) => message);
    expect(evicted).toEqual([
      { id: idle.id, kind: "sandbox" },
      { id: "z1", kind: "zygote" },
    ]);
    expect(namesOf(heard)).toContain("ol:zygote:destroy");
  });

  it("tell zygotes that were made and those that were not", async () => {
    const heard = listen();
    const engine = new FakeEngine({
      beforeZygote: (id) => {
        if (id === "broken") throw new Error("it does not import");
      },
    });
    const pool = makePool({ engine });
    const failed: string[] = [];
    pool.on("zygoteFailed", (id, _spec, { code }) => void failed.push(`${id}: ${code}`));
    await pool.createZygote("fine", zygote);
    await failsWith(pool.createZygote("broken", zygote), "OL_SANDBOX_ZYGOTE_FAILED");
    expect(namesOf(heard)).toEqual(["ol:zygote:create", "ol:zygote:fail"]);
    expect(heard[0]?.[1]).toMatchObject({ id: "fine", packages: ["lib"], importMs: 1, memoryMb: 1 });
    expect(heard[1]?.[1]).toMatchObject({ id: "broken", code: "OL_SANDBOX_ZYGOTE_FAILED" });
    expect(failed).toEqual(["broken: OL_SANDBOX_ZYGOTE_FAILED"]);
  });

  it("say nothing any more to who has stopped listening", async () => {
    const pool = makePool();
    const heard: string[] = [];
    const stop = onSandboxChannel("ol:sandbox:create", ({ name }) => void heard.push(name));
    await pool.acquire(specOf("echo"));
    expect(channel("ol:sandbox:create").hasSubscribers).toBe(true);
    stop();
    await pool.acquire(specOf("count"));
    expect(heard).toEqual(["echo"]);
    expect(channel("ol:sandbox:create").hasSubscribers).toBe(false);
  });
});

describe("an evictor that returns no list", () => {
  it("evicts nothing, and the pool goes on", async () => {
    const pool = makePool({ memoryMb: 50, evictor: (() => undefined) as never });
    const idle = await pool.acquire(specOf("echo"));
    idle.markIdle();
    await failsWith(pool.acquire(specOf("count"), { deadlineMs: 20 }), "OL_SANDBOX_NO_MEMORY");
    expect(await resultOf(idle, 1)).toBe(1);
  });
});
