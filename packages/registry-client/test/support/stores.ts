import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import { freePorts } from "@ol/common";

/** The keys of whoever may do everything. */
export const ADMIN = { accessKey: "admin-key", secretKey: "admin-secret-1" } as const;
/** The keys of who may only read, where a store has such; a secret may be whatever somebody thinks of. */
export const READER = { accessKey: "reader-key", secretKey: "the reader's own Schlüssel" } as const;

/** A real S3 server in a directory of its own, as a process of its own. */
export interface TestStore {
  readonly endpoint: URL;
  /** Ends it at once, as a crash would. */
  kill(): Promise<void>;
  /** Starts it again, at the same address and on the same directory. */
  restart(): Promise<void>;
  /** Ends it and removes its directory. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** A kind of server that is there on this machine. */
export interface StoreKind {
  readonly name: string;
  /** Whether it has keys that may only read. */
  readonly hasReader: boolean;
  start(): Promise<TestStore>;
}

const START_MS = 30_000;
const REGISTRY = new URL("../../../registry/dist/index.js", import.meta.url).href;

const PROGRAM = fileURLToPath(new URL("registry-process.mjs", import.meta.url));
const KEYS = JSON.stringify([
  { ...ADMIN, role: "admin" },
  { ...READER, role: "read" },
]);

const answers = async (port: number): Promise<boolean> => {
  const socket = connect(port, "127.0.0.1");
  try {
    await once(socket, "connect");
    return true;
  } catch {
    // Not listening yet.
    return false;
  } finally {
    socket.destroy();
  }
};

const untilAnswers = async (port: number, child: ChildProcess): Promise<void> => {
  const deadlineMs = Date.now() + START_MS;
  while (!(await answers(port))) {
    if (child.exitCode !== null || Date.now() > deadlineMs) throw new Error("the store did not start");
    await sleep(50);
  }
};

const ended = async (child: ChildProcess): Promise<void> => {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill("SIGKILL");
  await once(child, "exit");
};

const storeOf = async (
  launch: (directory: string, port: number) => Promise<ChildProcess>,
  scheme = "http",
): Promise<TestStore> => {
  const directory = await mkdtemp(join(tmpdir(), "ol-store-"));
  const port = await freePorts();
  let running = await launch(directory, port);
  const close = async (): Promise<void> => {
    await ended(running);
    await rm(directory, { recursive: true, force: true });
  };
  return {
    endpoint: new URL(`${scheme}://127.0.0.1:${port}`),
    kill: () => ended(running),
    restart: async () => {
      await ended(running);
      running = await launch(directory, port);
    },
    close,
    [Symbol.asyncDispose]: close,
  };
};

/** A certificate and its key, in PEM. */
export interface Tls {
  readonly cert: string;
  readonly key: string;
}

/** Starts our own server; with a certificate it speaks TLS. */
export const startOurs = (tls?: Tls): Promise<TestStore> =>
  storeOf(
    async (directory, port) => {
      const args = [PROGRAM, REGISTRY, join(directory, "data"), String(port), KEYS];
      if (tls !== undefined) args.push(JSON.stringify(tls));
      const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
      // It says its port when it listens.
      await once(child.stdout, "data", { signal: AbortSignal.timeout(START_MS) });
      return child;
    },
    tls === undefined ? "http" : "https",
  );

const OURS: StoreKind = { name: "our registry", hasReader: true, start: () => startOurs() };

/** Where scripts/versitygw.sh puts it. */
const VERSITYGW =
  process.env["OL_TEST_VERSITYGW"] ?? join(homedir(), ".cache", "openlambda", "versitygw-1.8.0", "versitygw");

const VERSITY: StoreKind = {
  name: "versitygw",
  hasReader: false,
  start: () =>
    storeOf(async (directory, port) => {
      const data = join(directory, "data");
      await mkdir(data, { recursive: true });
      const args = ["--access", ADMIN.accessKey, "--secret", ADMIN.secretKey, "--port", `127.0.0.1:${port}`];
      const child = spawn(VERSITYGW, [...args, "--quiet", "posix", data], { stdio: "ignore" });
      await untilAnswers(port, child);
      return child;
    }),
};

/** Every store that can be had here. Ours always can; versitygw if it was built. */
export const STORES: readonly StoreKind[] = existsSync(VERSITYGW) ? [OURS, VERSITY] : [OURS];
