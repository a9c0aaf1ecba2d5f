import { rm } from "node:fs/promises";
import { join } from "node:path";

import { addLambdaOfAll, INSTALL_MS, installFor } from "../mixed/install.ts";
import type { MixedLambda } from "../mixed/workload.ts";
import { type BenchSite, startWorker } from "../worker.ts";

/** What a lambda answers to a call that names nobody. */
export const replyOf = (name: string): string => `Hello, ${name}!`;

/** Imports, and then takes `runMs` for each call, without the CPU, as who waits for a database. */
const codeOf = ({ name, imports }: MixedLambda, runMs: number): string => `${imports.join("\n")}
import time

def f(event):
    time.sleep(${runMs / 1_000})
    return "Hello, %s!" % event.get("name", "${name}")
`;

const PREPARING = "preparing";
const PREPARING_MB = 4_096;

export interface LambdaOptions {
  readonly python: string;
  readonly runMs: number;
  /** Keys of the workers' configuration besides. */
  readonly settings: Readonly<Record<string, unknown>>;
  /** Told what begins. */
  readonly progress: (what: string) => void;
}

/** Puts the lambdas into the site, and has their packages installed and compiled: no worker that comes later needs the index. */
export const addLambdas = async (
  site: BenchSite,
  lambdas: readonly MixedLambda[],
  { python, runMs, settings, progress }: LambdaOptions,
): Promise<void> => {
  await addLambdaOfAll(site, lambdas);
  for (const lambda of lambdas)
    await site.addLambda(lambda.name, {
      "f.py": codeOf(lambda, runMs),
      "packages.txt": `${lambda.pins.join("\n")}\n`,
    });
  await rm(join(site.directory, PREPARING), { recursive: true, force: true });
  await using worker = await startWorker({
    site,
    name: PREPARING,
    python,
    memoryMb: PREPARING_MB,
    settings: { ...settings, import_cache: "off", install_wait_ms: INSTALL_MS },
  });
  await installFor(site, worker, lambdas, progress);
};
