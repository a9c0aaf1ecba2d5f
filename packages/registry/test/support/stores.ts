import { readdirSync } from "node:fs";
import * as path from "node:path";

import type { Logger } from "@ol/common";

import { ObjectStore, type StoreLimits } from "../../src/index.ts";

/** What was logged at warn and error. */
export class Complaints implements Logger {
  readonly said: string[] = [];

  debug(): void {}

  info(): void {}

  warn(message: string): void {
    this.said.push(message);
  }

  error(message: string): void {
    this.said.push(message);
  }
}

/** A store with a bucket `code`. */
export const openStore = async (
  directory: string,
  limits: Partial<StoreLimits> = {},
  logger?: Logger,
): Promise<ObjectStore> => {
  const store = await ObjectStore.open({ directory, limits, ...(logger === undefined ? {} : { logger }) });
  if (!store.hasBucket("code")) await store.createBucket("code");
  return store;
};

export const contentOf = async (store: ObjectStore, key: string, bucket = "code"): Promise<Buffer> => {
  await using reader = await store.read(bucket, key);
  return await collected(reader.stream());
};

export const collected = async (stream: AsyncIterable<unknown>): Promise<Buffer> => {
  const pieces: Buffer[] = [];
  for await (const piece of stream) pieces.push(piece as Buffer);
  return Buffer.concat(pieces);
};

/** All files of that part of a data directory, by their names. */
export const filesOf = (
  directory: string,
  part: "blobs" | "records" | "tmp" | "uploads" | "quarantine",
): string[] =>
  readdirSync(path.join(directory, part), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name))
    .sort();
