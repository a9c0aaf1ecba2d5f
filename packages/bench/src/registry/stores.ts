import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

import { CleanupStack, freePorts } from "@ol/common";

import { benchError } from "../errors.ts";
import { firstLine, startHelper, untilListens } from "../process.ts";
import { KEYS, S3Wire } from "./s3-wire.ts";

/** An S3 server in a directory of its own, with the bucket BUCKET. */
export interface BenchStore extends AsyncDisposable {
  readonly name: string;
  readonly port: number;
  readonly wire: S3Wire;
}

export const BUCKET = "registry";
const READY_MS = 30_000;

/** Starts the server in a directory; settles with its port. */
type Launch = (directory: string, cleanup: CleanupStack) => Promise<number>;

const storeOf = async (name: string, launch: Launch): Promise<BenchStore> => {
  const cleanup = new CleanupStack();
  try {
    const directory = await mkdtemp(join(tmpdir(), "ol-bench-store-"));
    cleanup.add(() => rm(directory, { recursive: true, force: true }));
    const port = await launch(directory, cleanup);
    const wire = new S3Wire(port);
    cleanup.add(() => wire.close());
    return { name, port, wire, [Symbol.asyncDispose]: () => cleanup.run() };
  } catch (error) {
    await cleanup.run();
    throw error;
  }
};

/** Our registry, as `ol-admin registry` starts it. */
export const startOurs = (): Promise<BenchStore> =>
  storeOf("ours", async (directory, cleanup) => {
    const manifest = createRequire(import.meta.url).resolve("ol-registry/package.json");
    const config = join(directory, "registry.json");
    const keys = [{ access_key: KEYS.accessKey, secret_key: KEYS.secretKey, role: "admin" }];
    const log_output = join(directory, "registry.log");
    const settings = { registry_port: 0, registry_data_dir: join(directory, "data"), registry_keys: keys };
    await writeFile(config, JSON.stringify({ ...settings, log_output }), { mode: 0o600 });
    const program = join(dirname(manifest), "bin/ol-registry.js");
    const helper = startHelper(process.execPath, [program, "--config", config], {
      stdio: ["ignore", "ignore", "pipe", "pipe"],
      env: { PATH: "/usr/local/bin:/usr/bin:/bin", OL_READY_FD: "3", UV_THREADPOOL_SIZE: "16" },
    });
    cleanup.add(helper.stop);
    const ready = helper.child.stdio[3] as NodeJS.ReadableStream;
    const line = await firstLine(helper, ready, "the registry", READY_MS);
    if (!line.startsWith("ready ")) throw benchError("OL_BENCH_HELPER_FAILED", `the registry says: ${line}`);
    return Number(new URL(line.slice("ready ".length)).port);
  });

/** A program of somebody else's that serves a directory. */
interface Foreign {
  readonly name: string;
  readonly program: string;
  readonly args: (port: number, data: string) => readonly string[];
  readonly environment: Readonly<Record<string, string>>;
}

const startForeign = ({ name, program, args, environment }: Foreign): Promise<BenchStore> =>
  storeOf(name, async (directory, cleanup) => {
    const data = join(directory, "data");
    await mkdir(data);
    const port = await freePorts();
    const helper = startHelper(program, args(port, data), {
      stdio: ["ignore", "ignore", "pipe"],
      env: { PATH: "/usr/local/bin:/usr/bin:/bin", HOME: directory, ...environment },
    });
    cleanup.add(helper.stop);
    await untilListens(port, helper, name, READY_MS);
    const wire = new S3Wire(port);
    await wire.createBucket(BUCKET);
    wire.close();
    return port;
  });

/** Programs to compare with, by their paths. */
export interface ForeignPrograms {
  readonly versitygw: string;
  readonly minio: string | undefined;
}

/** Ours first, then those that are there; `notes` says which are not. */
export const startStores = async (
  { versitygw, minio }: ForeignPrograms,
  cleanup: CleanupStack,
): Promise<{ readonly stores: readonly BenchStore[]; readonly notes: readonly string[] }> => {
  const notes: string[] = [];
  const stores: BenchStore[] = [];
  const add = async (starting: Promise<BenchStore>): Promise<void> => {
    const store = await starting;
    cleanup.add(async () => store[Symbol.asyncDispose]());
    stores.push(store);
  };
  await add(startOurs());
  if (existsSync(versitygw))
    await add(
      startForeign({
        name: "versitygw",
        program: versitygw,
        args: (port, data) => ["--port", `127.0.0.1:${port}`, "--quiet", "posix", data],
        environment: { ROOT_ACCESS_KEY: KEYS.accessKey, ROOT_SECRET_KEY: KEYS.secretKey },
      }),
    );
  else notes.push("versitygw is not there (scripts/versitygw.sh builds it), so it was not compared");
  if (minio === undefined) notes.push("no --minio was given, so MinIO was not compared");
  else
    await add(
      startForeign({
        name: "MinIO",
        program: minio,
        args: (port, data) => ["server", "--quiet", "--address", `127.0.0.1:${port}`, data],
        environment: { MINIO_ROOT_USER: KEYS.accessKey, MINIO_ROOT_PASSWORD: KEYS.secretKey },
      }),
    );
  return { stores, notes };
};
