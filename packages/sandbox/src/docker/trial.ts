import type { FileHandle } from "node:fs/promises";
import type { Socket } from "node:net";

import { isOlError, messageOf, within } from "@ol/common";

import { type ContainerFrame, type ContainerWish, containerBody } from "./container-body.ts";
import type { ContainerDaemon } from "./daemon.ts";
import { DaemonRefusal } from "./daemon.ts";
import { GuestListener } from "./guest-listener.ts";
import { badImage } from "./image.ts";

/** What the guest runtime found in the image. */
export interface ImageReport {
  /** Version of its Python. */
  readonly python: string;
  /** Whether its container may close off this machine's abstract sockets. */
  readonly landlock: boolean;
  readonly seccomp: boolean;
}

/** Starting a container takes half a second; an emulated machine needs longer. */
const TRIAL_MS = 60_000;
const OLDEST_PYTHON = [3, 9] as const;
const MOST_BYTES = 4_096;

/** Where a trial takes place. */
export interface TrialPlace {
  readonly daemon: ContainerDaemon;
  readonly frame: ContainerFrame;
  readonly meeting: FileHandle;
  readonly meetingDir: string;
  readonly name: string;
  readonly wish: Omit<ContainerWish, "program" | "socket" | "labels">;
}

/**
 * Starts a container as a sandbox would have it, in which the runtime is compiled and tells what it runs on. Who starts the worker
 * hears of what is wrong with the image then, not who calls a lambda. Fails with OL_SANDBOX_BAD_IMAGE and _DAEMON_UNAVAILABLE.
 */
export const tryImage = async (place: TrialPlace): Promise<ImageReport> => {
  const { daemon, frame, meeting, meetingDir, name, wish } = place;
  const listener = await GuestListener.open(meeting, meetingDir, name);
  let id: string | undefined;
  try {
    const whole = { ...wish, program: "report", socket: listener.path, labels: {} } as const;
    id = await daemon.create(name, containerBody(frame, whole));
    await daemon.start(id);
    const told = await within(Promise.race([reportOf(listener), ended(daemon, id)]), TRIAL_MS);
    if (told === undefined)
      throw badImage(`${frame.image}: its Python did not start within ${TRIAL_MS / 1_000} s`, undefined);
    return checked(frame.image, told);
  } catch (error) {
    if (isOlError(error)) throw error;
    throw badImage(`a container of ${frame.image} cannot be started: ${explained(error)}`, error);
  } finally {
    listener.close();
    if (id !== undefined) await daemon.remove(id);
  }
};

const reportOf = async (listener: GuestListener): Promise<unknown> => {
  const connection = await listener.connected;
  const text = await wholeOf(connection);
  return JSON.parse(text.subarray(4).toString());
};

const wholeOf = (connection: Socket): Promise<Buffer> =>
  new Promise((resolve, reject) => {
    const parts: Buffer[] = [];
    let size = 0;
    connection.on("data", (part: Buffer) => {
      parts.push(part);
      size += part.length;
      if (size > MOST_BYTES) connection.destroy(new Error("it reports too much"));
    });
    connection.once("error", reject);
    connection.once("end", () => resolve(Buffer.concat(parts)));
  });

/** Only if it has failed: one that was successful ends too, and has told us before. */
const ended = async (daemon: ContainerDaemon, id: string): Promise<never> => {
  const code = await daemon.ended(id);
  if (code === 0) return new Promise<never>(() => undefined);
  const said = (await daemon.lastWords(id)).split("\n").at(-1) ?? "";
  throw new Error(`its Python ended with code ${code}${said === "" ? "" : `: ${said}`}`);
};

const explained = (error: unknown): string => {
  const message = messageOf(error);
  if (!(error instanceof DaemonRefusal)) return message;
  if (/bind source path does not exist|no such file or directory: OCI|statfs/u.test(message))
    return `${message}; the daemon must be on this machine and see its directories`;
  return message;
};

const checked = (image: string, told: unknown): ImageReport => {
  const { python, landlock, seccomp, tmp } = told as {
    python: string;
    landlock: boolean;
    seccomp: number;
    tmp: boolean;
  };
  const [major = 0, minor = 0] = python.split(".").map(Number);
  if (major < OLDEST_PYTHON[0] || (major === OLDEST_PYTHON[0] && minor < OLDEST_PYTHON[1]))
    throw badImage(
      `${image} has Python ${python}, and sandboxes need ${OLDEST_PYTHON.join(".")} or newer`,
      undefined,
    );
  if (!tmp)
    throw badImage(
      `in ${image} not everybody may write to /tmp, as lambdas have to; make it again after chmod 1777 of its /tmp`,
      undefined,
    );
  return { python, landlock, seccomp: seccomp === 2 };
};
