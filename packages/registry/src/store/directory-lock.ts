import { spawn } from "node:child_process";
import * as fs from "node:fs/promises";

import { type HeldLock, type Logger, tryLock } from "@ol/common";

import { registryError } from "../errors.ts";

import type { Layout } from "./layout.ts";

/** Taking a lock takes a millisecond; a file system that does not answer (NFS) is not waited for longer. */
const MOST_MS = 30_000;

/**
 * Takes the data directory for this process; OL_REGISTRY_IN_USE if another one has it. The kernel holds the lock: it ends with the
 * process however that ends, and counts in other containers that have the same directory mounted as well.
 *
 * Node cannot call flock, but the program of that name can be given our open file. Such a lock belongs to the opened file and
 * not to a process, so it stays when the program has ended, for as long as we have the file open. Where there is no such program, the
 * lock is a name in the kernel's network namespace: other containers do not see that one, which is logged.
 */
export const lockDirectory = async (layout: Layout, logger: Logger): Promise<HeldLock> => {
  // a+: what the holder has written about itself stays.
  const file = await fs.open(layout.lock, "a+", 0o600);
  let byName: HeldLock | undefined;
  try {
    const locked = await lockFile(file.fd);
    if (locked === "no program") byName = await lockByName(layout, logger);
    if (locked === "held" || (locked === "no program" && byName === undefined)) {
      throw inUse(layout, (await file.readFile("utf8")).trim());
    }
    await file.truncate(0);
    await file.write(`process ${process.pid}, since ${new Date().toISOString()}\n`);
  } catch (error) {
    await byName?.release();
    await file.close();
    throw error;
  }
  let released: Promise<void> | undefined;
  const release = (): Promise<void> => (released ??= file.close().then(() => byName?.release()));
  return { release, [Symbol.asyncDispose]: release };
};

const inUse = (layout: Layout, holder: string): Error =>
  registryError(
    "OL_REGISTRY_IN_USE",
    `${layout.root} is used by another registry${holder === "" ? "" : ` (${holder})`}; stop that one first, ` +
      "or give this one a directory of its own",
    { details: { directory: layout.root } },
  );

const lockFile = (fd: number): Promise<"locked" | "held" | "no program"> =>
  new Promise((resolve, reject) => {
    // In the short form that busybox' program has too; both end with 1 if somebody else holds the lock.
    const program = spawn("flock", ["-x", "-n", "3"], {
      stdio: ["ignore", "ignore", "pipe", fd],
      timeout: MOST_MS,
    });
    let said = "";
    program.stderr?.setEncoding("utf8").on("data", (text: string) => (said = (said + text).slice(0, 500)));
    program.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") resolve("no program");
      else reject(error);
    });
    program.on("close", (code, signal) => {
      if (code === 0) resolve("locked");
      else if (code === 1) resolve("held");
      else reject(new Error(`the lock cannot be taken: flock ended with ${code ?? signal}: ${said.trim()}`));
    });
  });

const lockByName = async (layout: Layout, logger: Logger): Promise<HeldLock | undefined> => {
  const { dev, ino } = await fs.stat(layout.root, { bigint: true });
  const lock = await tryLock(`ol-registry-${dev}-${ino}`, `has ${layout.root}`);
  if (lock !== undefined) {
    logger.warn(
      "there is no program flock: a second registry on this directory is noticed on this machine only",
      {
        directory: layout.root,
      },
    );
  }
  return lock;
};
