import { expect } from "vitest";

import type { NetworkClass } from "@ol/common";

import type { Engine } from "./host.ts";

export const FAILED = "OL_SANDBOX_ZYGOTE_FAILED";

/** The zygote that `expectUnharmed` looks at. */
export const makePlain = async (engine: Engine): Promise<void> => {
  expect(await engine.createZygote("plain", { packages: ["plain"], modules: ["ol_plain"] })).toBeUndefined();
};

/** What a module's import left behind, as a sandbox forked from that zygote sees it. */
export const attributeOf = async (
  engine: Engine,
  zygote: string,
  wanted: { module: string; attribute: string },
  network: NetworkClass = "none",
): Promise<unknown> => {
  const sandbox = await engine.sandbox(network, { code: "forked", zygote });
  try {
    return await sandbox.probe({ probe: "attribute", ...wanted });
  } finally {
    await sandbox.destroy();
  }
};

/** What hostile import code did must not be felt anywhere else. */
export const expectUnharmed = async (engine: Engine): Promise<void> => {
  const sandbox = await engine.sandbox("none", { code: "forked" });
  expect(await sandbox.probe({ probe: "attribute", module: "ol_plain", attribute: "VALUE" })).toBe(
    "not loaded",
  );
  await sandbox.destroy();
  const value = { module: "ol_plain", attribute: "VALUE" };
  expect(await attributeOf(engine, "plain", value)).toBe("imported in advance");
};
