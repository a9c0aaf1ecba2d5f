import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { userInfo } from "node:os";
import { promisify } from "node:util";

import type { Environment } from "@ol/config";

/** What of this machine decides whether systemd gives a worker a part of the control groups to divide. */
export interface Situation {
  readonly uid: number;
  /** systemd is the machine's init. */
  readonly systemd: boolean;
  /** One hierarchy, version 2: in the older ones nothing can be given to an ordinary user. */
  readonly unified: boolean;
  /** The text of /proc/self/cgroup. */
  readonly ownGroup: string;
  /** The user's service manager goes on after his last logout. */
  readonly lingers: boolean;
}

/** systemd answers in some 10 ms; one that is this slow must not hold up the start. */
const TRIAL_MS = 5000;

/**
 * The start of a command that runs the rest of it in a scope of its own with `Delegate=yes`; empty where that cannot be, or
 * should not. For root the system's manager makes it. For others their own does, which ends at their last logout,
 * and the worker with it: a worker outlives the terminal, so it is used only if it lingers, or if we are below it
 * already and would end with it anyway.
 */
export const scopeWords = (situation: Situation, unit: string): readonly string[] => {
  const { uid, systemd, unified, ownGroup, lingers } = situation;
  if (!systemd || !unified) return [];
  const whose = uid === 0 ? ["--slice=system.slice"] : ["--user"];
  if (uid !== 0 && !lingers && !ownGroup.includes(`/user@${uid}.service/`)) return [];
  return [
    "systemd-run",
    ...whose,
    "--scope",
    "--quiet",
    "--collect",
    "--property=Delegate=yes",
    `--unit=${unit}`,
    "--",
  ];
};

const situationHere = (): Situation => {
  const { uid, username } = userInfo();
  return {
    uid,
    systemd: existsSync("/run/systemd/system"),
    unified: existsSync("/sys/fs/cgroup/cgroup.controllers"),
    ownGroup: readFileSync("/proc/self/cgroup", "utf8"),
    lingers: existsSync(`/var/lib/systemd/linger/${username}`),
  };
};

/** A scope to start commands in. */
export interface Scope {
  /** What comes before the command; none where there is no scope to be had. */
  readonly words: readonly string[];
  readonly environment: Environment;
}

/** `su` and `sudo` leave out how the user's manager is reached. */
const environmentFor = ({ uid }: Situation, environment: Environment): Environment =>
  uid === 0 ? environment : { XDG_RUNTIME_DIR: `/run/user/${uid}`, ...environment };

/**
 * A scope named `PREFIX-<random>.scope`, so that one that systemd has not put away yet is in nobody's way. Tried before:
 * where systemd refuses, the worker is started without it, and its log and `doctor` say what limits it lacks.
 */
export const findScope = async (
  prefix: string,
  environment: Environment,
  signal: AbortSignal,
): Promise<Scope> => {
  const situation = situationHere();
  const name = (): string => `${prefix}-${randomBytes(4).toString("hex")}`;
  const [program, ...first] = scopeWords(situation, name());
  if (program === undefined) return { words: [], environment };
  const env = environmentFor(situation, environment);
  try {
    await promisify(execFile)(program, [...first, "true"], { env: { ...env }, timeout: TRIAL_MS, signal });
  } catch {
    // No such program, no bus, a container without its own systemd, a policy: all mean the same.
    signal.throwIfAborted();
    return { words: [], environment };
  }
  return { words: scopeWords(situation, name()), environment: env };
};
