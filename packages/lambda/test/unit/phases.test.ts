import { setTimeout as sleep } from "node:timers/promises";

import type { FakeCode } from "@ol/sandbox/testing";
import { describe, expect, it } from "vitest";

import type { TraceRecord } from "../../src/index.ts";
import { makeRig } from "../harness.ts";

const LOAD_MS = 400;

/** Its word that it is loaded, and its first reply, arrive in one piece. */
const quick = (): FakeCode => {
  const pieces: Buffer[] = [];
  let sendAll: (() => void) | undefined;
  return {
    load: async ({ connection }) => {
      await sleep(LOAD_MS);
      const write = connection.write.bind(connection);
      connection.write = (piece: Buffer): boolean => {
        pieces.push(piece);
        return true;
      };
      sendAll = () => {
        connection.write = write;
        connection.write(Buffer.concat(pieces));
      };
    },
    call: () => {
      setImmediate(() => sendAll?.());
      return 1;
    },
  };
};

describe("the phases of a call", () => {
  it.each([true, false])(
    "tell loading the code from running it, however closely the reply follows (reuse: %s)",
    async (reuseSandbox) => {
      const traced: TraceRecord[] = [];
      const rig = makeRig({
        code: { quick: quick() },
        trace: (record) => traced.push(record),
      });
      rig.source.lambdas.set("quick", { dir: "quick", config: { reuseSandbox } });
      expect(await rig.result("quick")).toBe("1");
      const [record] = traced;
      // It begins to load a moment before it is handed the call.
      expect(record?.cold?.importMs).toBeGreaterThan(LOAD_MS / 2);
      expect(record?.runMs).toBeLessThan(LOAD_MS / 2);
      expect(rig.manager.stats().functions[0]).toMatchObject({ kind: "function" });
      expect(rig.manager.stats().functions[0]?.meanStartMs).toBeGreaterThan(LOAD_MS / 2);
    },
  );
});
