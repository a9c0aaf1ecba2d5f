import * as fs from "node:fs/promises";

import { registryError } from "../errors.ts";

import type { Directories } from "./directories.ts";
import type { Layout } from "./layout.ts";
import { TemporaryFile } from "./temporary-file.ts";

/** What the file `format` says; a later layout gets another number. */
const FORMAT = "openlambda registry 1\n";

/** What may be in a directory that becomes a data directory: what `lost+found` is to a file system's root, and our own lock. */
const HARMLESS: ReadonlySet<string> = new Set(["lost+found", "lock"]);

/**
 * Makes the directory a data directory if it is empty, and checks that it is one otherwise. Fails with OL_REGISTRY_BAD_DIRECTORY, or
 * as the system does.
 */
export const prepareDirectory = async (layout: Layout, directories: Directories): Promise<void> => {
  const names = await fs.readdir(layout.root);
  const format = names.includes("format") ? await fs.readFile(layout.format, "utf8") : undefined;
  if (format !== undefined && format !== FORMAT) {
    throw badDirectory(
      layout,
      `its layout (${JSON.stringify(format.slice(0, 100))}) is not one that this version knows`,
    );
  }
  const known = new Set(["tmp", "buckets", "uploads", "quarantine", "blobs", "records"]);
  const strange = names.filter((name) => !HARMLESS.has(name) && !known.has(name));
  if (format === undefined && strange.length > 0) {
    throw badDirectory(layout, `it is not empty, and no registry's: there is ${strange.sort()[0] ?? ""}`);
  }
  for (const each of layout.directories) await fs.mkdir(each, { recursive: true, mode: 0o700 });
  await checkFileSystem(layout);
  for (const parent of layout.parents) await directories.sync(parent);
  // Last: a directory that was begun and not finished is begun again.
  if (format !== undefined) return;
  await writeFormat(layout);
  await directories.sync(layout.root);
};

/** Files are moved between the directories, which only works within one file system. */
const checkFileSystem = async (layout: Layout): Promise<void> => {
  const { dev } = await fs.stat(layout.temporary);
  for (const each of layout.directories) {
    if ((await fs.stat(each)).dev !== dev)
      throw badDirectory(layout, `${each} is on another file system than the rest`);
  }
};

const writeFormat = async (layout: Layout): Promise<void> => {
  await using file = await TemporaryFile.create(layout.temporary);
  await file.write(Buffer.from(FORMAT), 0);
  await file.sync();
  await file.publish(layout.format);
};

const badDirectory = (layout: Layout, why: string): Error =>
  registryError("OL_REGISTRY_BAD_DIRECTORY", `${layout.root} cannot be used: ${why}`, {
    details: { directory: layout.root },
  });
