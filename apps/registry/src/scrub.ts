import { createLogger, loadRegistryConfig } from "@ol/config";
import type { ScrubReport } from "@ol/registry";

import { openStore } from "./process.ts";

/** What a command prints, and how it exits. */
export interface Outcome {
  readonly text: string;
  readonly exitCode: number;
}

/** Nobody else uses the disk for it. */
const UNBOUNDED = Number.MAX_SAFE_INTEGER;

const asText = ({ blobs, bytes, damaged, garbage }: ScrubReport): string =>
  [
    `${blobs} contents with ${bytes} bytes were read, ${damaged.length} of them are damaged and were set aside`,
    ...damaged.map((content) => `damaged: ${JSON.stringify(content)}`),
    `${garbage.removed} files that nothing names were removed, ${garbage.kept} kept`,
    "",
  ].join("\n");

/** Reads everything again. Fails with OL_REGISTRY_IN_USE while the registry runs, which does it by itself. */
export const scrub = async (
  file: string,
  json: boolean,
  environment: Readonly<Record<string, string | undefined>>,
): Promise<Outcome> => {
  const config = await loadRegistryConfig(file, environment);
  // Standard output is the result's.
  await using logger = createLogger({ output: "stderr", level: "warn" });
  await using store = await openStore(config, logger, { scrubBytesPerSecond: UNBOUNDED });
  const report = await store.scrub(new AbortController().signal);
  const text = json ? `${JSON.stringify(report, null, 2)}\n` : asText(report);
  return { text, exitCode: report.damaged.length === 0 ? 0 : 1 };
};
