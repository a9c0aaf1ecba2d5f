import { describe, expect, it } from "vitest";

import type { Sandbox } from "../../src/index.ts";
import { eventually } from "../support/cluster.ts";
import { ask, call, failureOf, poolOf, shareRig, specOf } from "../support/docker-share.ts";
import { scaled } from "../support/scale.ts";

const rig = shareRig();

/** A tenth of it is what it takes on an idle machine. */
const SOAK_MS = scaled(120_000, 600_000);

/** What a client does to its sandbox before it ends it. */
const HARMS: readonly ((sandbox: Sandbox) => Promise<unknown>)[] = [
  (sandbox) => ask(sandbox, "say", "nothing"),
  (sandbox) => call(sandbox, "leave", 1),
  (sandbox) => sandbox.ready.then(() => sandbox.pause()),
  (sandbox) => call(sandbox, "fill", 2_000),
  (sandbox) => ask(sandbox, "breed"),
  // Ended while it is being made.
  () => Promise.resolve(),
  (sandbox) => call(sandbox, "bomb"),
  (sandbox) => sandbox.ready.then(() => void failureOf(call(sandbox, "sleep", 20))),
];

describe("clients that harm what they share", () => {
  it(
    "get sandboxes all the while, and nothing is left of any",
    async () => {
      await using pool = poolOf(rig.engine);
      const rounds = scaled(6, 60);
      const client = async (number: number): Promise<void> => {
        for (let round = 0; round < rounds; round += 1) {
          const sandbox = await pool.acquire(specOf("harmed"));
          await failureOf(HARMS[(number * 3 + round) % HARMS.length]?.(sandbox) ?? Promise.resolve());
          await sandbox.destroy();
          const exit = await sandbox.exited;
          expect(exit.reason === "lost" ? exit.message : undefined).toBeUndefined();
        }
      };
      await Promise.all([0, 1, 2, 3, 4, 5].map(client));
      expect(rig.engine.stats().sandboxes).toBe(0);
      const last = await pool.acquire(specOf("harmed"));
      expect(await ask(last, "say", "works")).toBe(null);
      // Those that could fork no more end with their last sandbox, five seconds later.
      expect(await eventually(() => rig.place.containers("lambda", "harmed").length === 1)).toBe(true);
      expect(await eventually(() => rig.place.childrenIn("harmed").length === 1)).toBe(true);
      await last.destroy();
      expect(await eventually(() => rig.place.containers("lambda", "harmed").length === 0)).toBe(true);
    },
    SOAK_MS,
  );
});
