import { constants } from "node:fs";
import { chmod, type FileHandle, mkdir, open, rm } from "node:fs/promises";
import path from "node:path";

import { messageOf } from "@ol/common";

import { sandboxError } from "../errors.ts";
import { GuestListener } from "./guest-listener.ts";

// Linux's, which Node has no name for: a place to begin paths at.
const O_PATH = 0o10000000;
/** The container's user is nobody's; who else gets here is decided by the directory above. */
const OPEN_TO_ALL = 0o755;

/** A directory of sockets that one container is given, and nobody else: a guest for each of them. */
export class MeetingPlace {
  /** What the container is given. */
  readonly directory: string;
  readonly #handle: FileHandle;
  /** Those that wait. A container that lives for long has had any number of others. */
  readonly #listeners = new Set<GuestListener>();

  /** Makes it below `parent`. Fails with OL_SANDBOX_CREATE_FAILED. */
  static async make(parent: string, name: string): Promise<MeetingPlace> {
    const directory = path.join(parent, name);
    try {
      await mkdir(directory);
      await chmod(directory, OPEN_TO_ALL);
      return new MeetingPlace(directory, await open(directory, O_PATH | constants.O_DIRECTORY));
    } catch (error) {
      await rm(directory, { recursive: true, force: true });
      const message = `make a directory for the sandbox's sockets: ${messageOf(error)}`;
      throw sandboxError("OL_SANDBOX_CREATE_FAILED", message, { cause: error });
    }
  }

  private constructor(directory: string, handle: FileHandle) {
    this.directory = directory;
    this.#handle = handle;
  }

  /** Fails with OL_SANDBOX_CREATE_FAILED. */
  async listen(name: string): Promise<GuestListener> {
    const listener = await GuestListener.open(this.#handle, this.directory, name);
    this.#listeners.add(listener);
    const forget = (): void => void this.#listeners.delete(listener);
    listener.connected.then(forget, forget);
    return listener;
  }

  /** Nobody is waited for here any more. */
  async remove(): Promise<void> {
    // They remove their sockets by the directory's descriptor, whose number may be another's after that.
    for (const listener of this.#listeners) listener.close();
    await this.#handle.close();
    await rm(this.directory, { recursive: true, force: true });
  }
}
