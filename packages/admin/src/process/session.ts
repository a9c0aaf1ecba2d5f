import { readFileSync, readdirSync } from "node:fs";

import { adminError, errnoOf } from "../errors.ts";
import { type ProcessIdentity, identityOf, isAlive } from "./identity.ts";
import { stopProcess } from "./stop.ts";

/** Processes that were started together: those of one session, as far as they were seen. */
export interface ProcessSession {
  /** The session's id, which is its first process's. */
  readonly session: number;
  readonly processes: readonly ProcessIdentity[];
}

/** Between two looks a process may have started another; each look ends all that there are. */
const MOST_ROUNDS = 5;

/** Field 6 of the text of a /proc/PID/stat. */
export const parseSession = (stat: string): number =>
  // The name in parentheses may itself hold parentheses and blanks.
  Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[3]);

const sessionOf = (pid: string): number | undefined => {
  try {
    return parseSession(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch (error) {
    // Gone since it was listed.
    if (["ENOENT", "ESRCH"].includes(errnoOf(error) ?? "")) return undefined;
    throw error;
  }
};

/** The living processes of a session. */
export const sessionMembers = (session: number): ProcessIdentity[] =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/u.test(name) && sessionOf(name) === session)
    .flatMap((name) => identityOf(Number(name)) ?? []);

/**
 * What still lives of a session. While one of the processes that were seen lives, the id is its own, and others that have
 * it belong to it; afterwards it may be a stranger's.
 */
export const livingOf = ({ session, processes }: ProcessSession): readonly ProcessIdentity[] =>
  processes.some((process) => isAlive(process)) ? sessionMembers(session) : [];

/**
 * Ends a session's processes: SIGTERM, `graceMs`, SIGKILL. Settles with how many there were. Fails with
 * OL_ADMIN_NOT_STOPPED.
 */
export const stopSession = async (
  started: ProcessSession,
  graceMs: number,
  interrupt?: AbortSignal,
): Promise<number> => {
  let living = livingOf(started);
  const count = living.length;
  for (let round = 0; living.length > 0; round += 1) {
    if (round === MOST_ROUNDS)
      throw adminError(
        "OL_ADMIN_NOT_STOPPED",
        `session ${started.session} starts processes faster than they end`,
      );
    await Promise.all(living.map((process) => stopProcess(process, graceMs, interrupt)));
    living = sessionMembers(started.session);
  }
  return count;
};
