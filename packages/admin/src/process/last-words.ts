import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";

import { escapeControls } from "../text.ts";

const TAIL_BYTES = 4096;

const messageIn = (line: string): string => {
  try {
    const parsed: unknown = JSON.parse(line);
    if (typeof parsed === "object" && parsed !== null && "message" in parsed) return String(parsed.message);
  } catch {
    // Not one of the worker's log lines: the text itself, then.
  }
  return line;
};

/** The last thing a process said since `offset` of its output file. */
export const lastWords = (file: string, offset: number): string | undefined => {
  const fd = openSync(file, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const size = fstatSync(fd).size;
    const start = Math.max(offset, size - TAIL_BYTES);
    const buffer = Buffer.alloc(Math.max(0, size - start));
    readSync(fd, buffer, 0, buffer.length, start);
    const lines = buffer.toString("utf8").split("\n");
    const last = lines.filter((line) => line.trim() !== "").at(-1);
    return last === undefined ? undefined : escapeControls(messageIn(last));
  } finally {
    closeSync(fd);
  }
};
