// An eviction policy of one's own: hyperbolic caching (Blankstein, Sen, Freedman, USENIX ATC 2017) with costs.
// What is worth least goes first: calls in each second that it has been there, by what it took to make, for each MB.
import {
  EVICTION_POLICIES,
  type EvictableSandbox,
  type Evictor,
  type Sandbox,
  SandboxPool,
} from "@ol/sandbox";
import { FakeEngine } from "@ol/sandbox/testing";

const hyperbolic = (): Evictor => {
  const since = new Map<string, number>();
  return ({ missingMb, sandboxes }) => {
    const nowMs = performance.now();
    const worth = ({ id, uses, makeMs, memoryMb }: EvictableSandbox): number =>
      (uses * makeMs) / memoryMb / (nowMs - (since.get(id) ?? nowMs) + 1);
    for (const { id } of sandboxes) if (!since.has(id)) since.set(id, nowMs);
    let leftMb = missingMb;
    return sandboxes
      .filter(({ state }) => state === "idle" || state === "paused")
      .toSorted((one, other) => worth(one) - worth(other))
      .filter(({ memoryMb }) => leftMb > 0 && (leftMb -= memoryMb) > -Infinity)
      .map(({ id }) => id);
  };
};

/** Plays a load to a pool with room for two sandboxes; how often `dear`, which takes 30 ms to make, was made. */
const play = async (evictor: Evictor): Promise<number> => {
  let made = 0;
  const names = ["dear", "cheap-1", "cheap-2", "cheap-3"];
  const code = Object.fromEntries(names.map((name) => [name, { call: () => name }]));
  await using engine = new FakeEngine({
    code,
    beforeCreate: async (_id, { name }) => {
      if (name === "dear") made += 1;
      await new Promise((resolve) => setTimeout(resolve, name === "dear" ? 30 : 0));
    },
  });
  await using pool = SandboxPool.create({ engine, memoryMb: 100, evictor });
  const limits = { memoryMb: 50, swappiness: 0, procs: 1, cpuPercent: 100, logMb: 0, scratchMb: 0 };
  const kept = new Map<string, Sandbox>();
  for (let call = 0; call < 60; call += 1) {
    // Three calls of the one, then one of each of the others: the oldest is never the one to lose.
    const name = names[Math.max(0, (call % 6) - 2)] ?? "dear";
    let sandbox = kept.get(name);
    if (sandbox === undefined || sandbox.ended !== undefined)
      sandbox = await pool.acquire({ name, code: name, network: "none", environment: {}, limits });
    kept.set(name, sandbox);
    await sandbox.call({ invocationId: `call-${call}`, body: Buffer.from("{}"), timeoutMs: 1_000 });
    sandbox.markIdle();
  }
  return made;
};

const [lru, own] = [await play(EVICTION_POLICIES.lru()), await play(hyperbolic())];
console.log(JSON.stringify({ madeByLru: lru, madeByHyperbolic: own }));
