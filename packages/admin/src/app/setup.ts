import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, constants, fstatSync, openSync } from "node:fs";

import { CleanupStack, systemReason } from "@ol/common";
import type { Environment } from "@ol/config";

import { adminError } from "../errors.ts";
import { identityOf } from "../process/identity.ts";
import { type ProcessSession, sessionMembers, stopSession } from "../process/session.ts";
import { lastWords } from "../process/last-words.ts";

/** How an application's setup.sh is run. */
export interface Setup {
  readonly program: string;
  /** Where it is run. */
  readonly directory: string;
  readonly environment: Environment;
  /** Its output, and that of what it starts, is appended here. */
  readonly outFile: string;
  readonly signal: AbortSignal;
  /** Hears of the session before anything in it can have started another process; settles when that is written down. */
  readonly started: (session: ProcessSession) => Promise<void>;
}

/** It may fetch an image, or fill a database. */
const DEADLINE_MS = 600_000;
/** How long a service may take to end. */
export const SERVICE_GRACE_MS = 10_000;

const failed = (why: string, cause?: unknown): Error =>
  adminError("OL_ADMIN_SETUP_FAILED", `setup.sh failed: ${why}`, cause === undefined ? {} : { cause });

const openOut = (file: string): number => {
  try {
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND | constants.O_NOFOLLOW;
    return openSync(file, flags, 0o640);
  } catch (error) {
    throw adminError("OL_ADMIN_FILE", `cannot write ${file}: ${systemReason(error)}`, { cause: error });
  }
};

const start = async (setup: Setup, out: number): Promise<ChildProcess> => {
  const child = spawn(setup.program, [], {
    cwd: setup.directory,
    // A session of its own: what it starts outlives us, and can be told from everything else.
    detached: true,
    env: { ...setup.environment },
    stdio: ["ignore", out, out],
  });
  try {
    await once(child, "spawn");
  } catch (error) {
    throw failed(systemReason(error), error);
  }
  return child;
};

const exitOf = async (child: ChildProcess, signal: AbortSignal): Promise<string> => {
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit", { signal });
  if (child.exitCode === 0) return "";
  return child.signalCode === null ? `exit code ${child.exitCode}` : `it was ended by ${child.signalCode}`;
};

/**
 * Runs setup.sh to its end. Settles with what it left running, if it left anything: processes of its session, so no
 * daemons that make one of their own. Otherwise all of it is ended again: fails with OL_ADMIN_SETUP_FAILED.
 */
export const runSetup = async (setup: Setup): Promise<ProcessSession | undefined> => {
  const out = openOut(setup.outFile);
  const offset = fstatSync(out).size;
  let child: ChildProcess;
  try {
    child = await start(setup, out);
  } finally {
    closeSync(out);
  }
  const session = child.pid as number;
  const leader = identityOf(session);
  const begun: ProcessSession = { session, processes: leader === undefined ? [] : [leader] };
  await using undo = new CleanupStack();
  undo.add(async () => {
    await stopSession(
      { session, processes: [...begun.processes, ...sessionMembers(session)] },
      SERVICE_GRACE_MS,
    );
  });
  await setup.started(begun);
  const deadline = AbortSignal.timeout(DEADLINE_MS);
  let fault: string;
  try {
    fault = await exitOf(child, AbortSignal.any([setup.signal, deadline]));
  } catch (error) {
    if (!deadline.aborted) throw error;
    fault = `it did not end within ${DEADLINE_MS / 60_000} minutes`;
  }
  if (fault !== "") throw failed(lastWords(setup.outFile, offset) ?? fault);
  undo.release();
  const processes = sessionMembers(session);
  return processes.length === 0 ? undefined : { session, processes };
};
