import { randomBytes } from "node:crypto";
import type { Stats } from "node:fs";
import { open, readFile, rename, rm, stat } from "node:fs/promises";
import { dirname } from "node:path";

import { messageOf, systemReason } from "@ol/common";

import { configError } from "./errors.ts";

const errnoOf = (error: unknown): string | undefined =>
  error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;

/** "line 3, column 5" from V8's "at position 27", which older versions say without the line. */
const place = (message: string, text: string): string => {
  const position = /at position (?<offset>\d+)/u.exec(message)?.groups?.["offset"];
  if (position === undefined) return "";
  const before = text.slice(0, Number(position)).split("\n");
  return ` (line ${before.length}, column ${(before.at(-1) ?? "").length + 1})`;
};

/** Parses a JSON object; `where` is how messages call the text. Fails with OL_CONFIG_SYNTAX. */
export const parseJsonObject = (text: string, where: string): Record<string, unknown> => {
  let value: unknown;
  try {
    value = JSON.parse(text.replace(/^\uFEFF/u, ""));
  } catch (error) {
    const message = messageOf(error).split("\n", 1)[0] ?? "";
    throw configError("OL_CONFIG_SYNTAX", `${where}: not valid JSON${place(message, text)}: ${message}`, {
      cause: error,
    });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw configError("OL_CONFIG_SYNTAX", `${where}: must be a JSON object, such as {"worker_port": 8080}`);
  return value as Record<string, unknown>;
};

/** Reads a JSON object from a file. Fails with OL_CONFIG_NOT_FOUND, _UNREADABLE or _SYNTAX. */
export const readJsonObject = async (file: string): Promise<Record<string, unknown>> => {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    if (errnoOf(error) === "ENOENT")
      throw configError("OL_CONFIG_NOT_FOUND", `${file}: there is no such file`, { cause: error });
    throw configError("OL_CONFIG_UNREADABLE", `${file}: cannot be read: ${systemReason(error)}`, {
      cause: error,
    });
  }
  return parseJsonObject(text, file);
};

const statOf = async (file: string): Promise<Stats | undefined> => {
  try {
    return await stat(file);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
};

const syncDirectory = async (directory: string): Promise<void> => {
  const handle = await open(directory, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
};

/**
 * Writes `value` as indented JSON so that the file is the old or the new one at every moment, also after a
 * power cut. The file keeps its mode; a new one gets `mode`. What root writes belongs to whom the file, or else the
 * directory, belonged to: they have to be able to read it. Fails with OL_CONFIG_WRITE_FAILED.
 */
export const writeJsonFile = async (file: string, value: unknown, mode = 0o644): Promise<void> => {
  const temporary = `${file}.tmp-${randomBytes(6).toString("hex")}`;
  try {
    const old = await statOf(file);
    const wanted = old === undefined ? mode : old.mode & 0o777;
    const owner = old ?? (await stat(dirname(file)));
    const handle = await open(temporary, "wx", wanted);
    try {
      // Whatever the umask.
      await handle.chmod(wanted);
      if (process.getuid?.() === 0) await handle.chown(owner.uid, owner.gid);
      await handle.writeFile(`${JSON.stringify(value, undefined, 2)}\n`);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, file);
    await syncDirectory(dirname(file));
  } catch (error) {
    await rm(temporary, { force: true });
    throw configError("OL_CONFIG_WRITE_FAILED", `${file}: cannot be written: ${systemReason(error)}`, {
      cause: error,
    });
  }
};
