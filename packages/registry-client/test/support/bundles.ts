import { createHash, randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { onTestFinished } from "vitest";

import { RegistryClient, type RegistryClientOptions } from "../../src/index.ts";
import { ADMIN, type TestStore } from "./stores.ts";

/** Long enough for a busy machine. */
export const soon = (): AbortSignal => AbortSignal.timeout(30_000);

export interface TestBundle {
  readonly name: string;
  readonly file: string;
  readonly digest: string;
  readonly size: number;
}

/** Bytes in a file, which is gone after the test. The client does not look at what they are. */
export const bundle = async (
  name: string,
  bytes: Buffer | string = randomBytes(1_000),
): Promise<TestBundle> => {
  const directory = await mkdtemp(join(tmpdir(), "ol-client-"));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  const file = join(directory, "bundle.tar.gz");
  await writeFile(file, bytes);
  const digest = createHash("sha256").update(bytes).digest("hex");
  return { name, file, digest, size: Buffer.byteLength(bytes) };
};

/** A client of a bucket that nobody else uses, or of the one that is named. */
export const clientOf = (store: TestStore, options: Partial<RegistryClientOptions> = {}): RegistryClient => {
  const client = RegistryClient.create({
    endpoint: store.endpoint,
    bucket: `test-${randomBytes(8).toString("hex")}`,
    ...ADMIN,
    ...options,
  });
  onTestFinished(() => client[Symbol.asyncDispose]());
  return client;
};

export const textOf = async (body: AsyncIterable<Uint8Array>): Promise<string> => {
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
};
