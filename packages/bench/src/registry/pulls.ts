import { execFile } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

import type { CleanupStack } from "@ol/common";

import type { Row } from "../results.ts";
import { pairedRatios, summarize } from "../statistics.ts";
import { type BenchSite, type BenchWorker, helloWith, makeSite, startWorker } from "../worker.ts";
import { KEYS } from "./s3-wire.ts";
import { BUCKET, type BenchStore } from "./stores.ts";

const run = promisify(execFile);
/** What does not compress: that much is packed as well. */
const DATA_BYTES = 1_000_000;
const MEMORY_MB = 2_048;
const TAR_MS = 60_000;

/** How often, and with what. */
export interface PullOptions {
  readonly python: string;
  readonly rounds: number;
  readonly warmup: number;
}

/** Somewhere that a worker has its code from. */
interface Place {
  readonly name: string;
  readonly worker: BenchWorker;
  /** Makes a lambda known that nobody has called yet. */
  readonly add: (lambda: string, files: Files) => Promise<void>;
}

interface Files {
  readonly "f.py": string;
  readonly data: string;
}

const filesFor = (lambda: string): Files => ({
  "f.py": helloWith([`# ${lambda}`]),
  // As text, of which each character is a byte.
  data: randomBytes(DATA_BYTES).toString("base64").slice(0, DATA_BYTES),
});

const packed = async (site: BenchSite, lambda: string, files: Files): Promise<Buffer> => {
  const directory = join(site.directory, "packing", lambda);
  await mkdir(directory, { recursive: true });
  for (const [name, text] of Object.entries(files)) await writeFile(join(directory, name), text);
  const bundle = `${directory}.tar.gz`;
  await run("tar", ["-czf", bundle, "-C", directory, ...Object.keys(files)], { timeout: TAR_MS });
  return readFile(bundle);
};

/** The objects that `ol-admin upload` writes, in its order. */
const publish = async ({ wire }: BenchStore, lambda: string, bundle: Buffer): Promise<void> => {
  const digest = createHash("sha256").update(bundle).digest("hex");
  const place = `/${BUCKET}/handlers/${lambda}`;
  await wire.put(`${place}/blobs/${digest}.tar.gz`, { bytes: bundle, sha256: digest });
  const version = { digest, size: bundle.length, time: new Date().toISOString() };
  const tag = Buffer.from(JSON.stringify({ ...version, history: [version] }));
  await wire.put(`${place}/tags/latest.json`, {
    bytes: tag,
    sha256: createHash("sha256").update(tag).digest("hex"),
  });
};

const remote = async (store: BenchStore, options: PullOptions, cleanup: CleanupStack): Promise<Place> => {
  const site = await makeSite();
  cleanup.add(async () => site[Symbol.asyncDispose]());
  const worker = await startWorker({
    site,
    name: "remote",
    python: options.python,
    memoryMb: MEMORY_MB,
    settings: {
      registry: `http://127.0.0.1:${store.port}/${BUCKET}`,
      registry_access_key: KEYS.accessKey,
      registry_secret_key: KEYS.secretKey,
    },
  });
  cleanup.add(async () => worker[Symbol.asyncDispose]());
  const add = async (lambda: string, files: Files): Promise<void> =>
    publish(store, lambda, await packed(site, lambda, files));
  return { name: `pulled from ${store.name}`, worker, add };
};

const local = async (options: PullOptions, cleanup: CleanupStack): Promise<Place> => {
  const site = await makeSite();
  cleanup.add(async () => site[Symbol.asyncDispose]());
  const worker = await startWorker({ site, name: "local", python: options.python, memoryMb: MEMORY_MB });
  cleanup.add(async () => worker[Symbol.asyncDispose]());
  return {
    name: "in a local directory",
    worker,
    add: (lambda, files) => site.addLambda(lambda, { ...files }),
  };
};

/**
 * First calls of lambdas of 1 MB that a worker has never seen, in turns: from a directory, and from each store. The workers are
 * `cleanup`'s to end, before the stores.
 */
export const measurePulls = async (
  stores: readonly BenchStore[],
  options: PullOptions,
  cleanup: CleanupStack,
): Promise<readonly Row[]> => {
  const places = [await local(options, cleanup)];
  for (const store of stores) places.push(await remote(store, options, cleanup));
  const values = places.map((): number[] => []);
  for (let round = 0; round < options.warmup + options.rounds; round += 1)
    for (const [at, { worker, add }] of places.entries()) {
      const lambda = `pull-${round}-${at}`;
      await add(lambda, filesFor(lambda));
      const ms = await worker.call(lambda);
      if (round >= options.warmup) values[at]?.push(ms);
    }
  const [directory = []] = values;
  return places.map(({ name }, at) => ({
    name: `first call, 1 MB bundle ${name}`,
    unit: "ms" as const,
    values: summarize(values[at] ?? []),
    ratios: at === 0 ? {} : { "local directory": pairedRatios(values[at] ?? [], directory) },
  }));
};
