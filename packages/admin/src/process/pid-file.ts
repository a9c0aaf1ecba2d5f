import { randomBytes } from "node:crypto";
import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";

import { systemReason } from "@ol/common";

import { adminError, errnoOf } from "../errors.ts";
import type { ProcessIdentity } from "./identity.ts";

const LARGEST_PID = 4_194_304;

/** Reads the three lines of a pid file; undefined if they are not what we write. */
export const parsePidFile = (text: string): ProcessIdentity | undefined => {
  const [pid = "", startTime = "", bootId = ""] = text.split("\n").map((line) => line.trim());
  const number = /^\d{1,7}$/u.test(pid) ? Number(pid) : 0;
  // 1 is init, and 0 would signal our own group.
  if (number < 2 || number > LARGEST_PID || !/^\d+$/u.test(startTime) || !/^[0-9a-f-]{36}$/u.test(bootId))
    return undefined;
  return { pid: number, startTime, bootId };
};

/** What a pid file says: `undefined` if there is none, "unreadable" if it names no process. */
export const readPidFile = (file: string): ProcessIdentity | "unreadable" | undefined => {
  try {
    return parsePidFile(readFileSync(file, "utf8")) ?? "unreadable";
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw adminError("OL_ADMIN_FILE", `cannot read ${file}: ${systemReason(error)}`, {
      cause: error,
    });
  }
};

/** Writes a pid file; it is never seen half-written. */
export const writePidFile = (file: string, identity: ProcessIdentity): void => {
  const temporary = `${file}.tmp-${randomBytes(6).toString("hex")}`;
  writeFileSync(temporary, `${identity.pid}\n${identity.startTime}\n${identity.bootId}\n`, {
    flag: "wx",
    mode: 0o644,
  });
  renameSync(temporary, file);
};

export const removePidFile = (file: string): void => rmSync(file, { force: true });
