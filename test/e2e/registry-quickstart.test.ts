import { existsSync } from "node:fs";
import { homedir } from "node:os";
import path from "node:path";

import { describe, expect, it } from "vitest";

import { follow, registrySequence, whoRunsThis } from "./support/newcomer.ts";

const GREETING = /"Hello, Alice!"[^]*"Goodbye, Alice!"[^]*"Hello, Alice!"/u;
/** Commands wait for workers to look again, and the machine may be busy. */
const TEST_MS = 300_000;
const VERSITYGW = path.join(homedir(), ".cache/openlambda/versitygw-1.8.0");

describe("quickstart/registry.md", () => {
  it(
    "uploads, calls, changes and rolls back by our own registry, word for word",
    { timeout: TEST_MS },
    async () => {
      const said = follow(await whoRunsThis(), registrySequence("Our own registry"));
      expect(said).toMatch(GREETING);
      expect(said).toMatch(/Registry Ping:\n  http:\/\/localhost:9000\/status => ready \[200 OK\]/u);
      expect(said.match(/"Hello, Alice!"/gu)).toHaveLength(3);
      expect(said).toMatch(/greet[^\n]*SyntaxError/u);
      expect(said).toMatch(/exit 0$/u);
    },
  );

  // Where scripts/versitygw.sh has built it; that takes minutes, and Go.
  it.each(existsSync(VERSITYGW) ? ["versitygw"] : [])(
    "does the same by %s",
    { timeout: TEST_MS },
    async () => {
      const newcomer = await whoRunsThis();
      const network = { ...newcomer.network, OL_CACHE: path.dirname(VERSITYGW) };
      const said = follow({ ...newcomer, network }, registrySequence("Somebody else's S3 store"));
      expect(said).toMatch(GREETING);
      expect(said).toMatch(/exit 0$/u);
    },
  );
});
